package flight

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

func parent(t testing.TB, text string) Traceparent {
	t.Helper()
	p, ok := Parse(text)
	if !ok {
		t.Fatalf("%q is no traceparent", text)
	}
	return p
}

func whole(t testing.TB) Record {
	p := parent(t, example)
	return Record{
		Traceparent: p, Parent: p.Child().Span, Begin: true, Kind: EC2, Name: "AssignPrivateIpAddresses", Verb: "ADD",
		Attachment: vpcnet.Attachment{Network: "vpc", ContainerID: "c1", IfName: "eth0"}, Pod: "default/web-0",
		Start: time.Unix(1700000000, 123456789), Duration: 1500 * time.Microsecond, Code: "11", Error: `no "free" address\`, Text: "grüße",
		RequestID: "0f-1", Attempts: 3, Links: []Traceparent{p, p.Child()},
	}
}

func TestLine(t *testing.T) {
	for name, r := range map[string]Record{
		"whole": whole(t),
		"least": {Traceparent: parent(t, example), Kind: Plugin, Start: time.Unix(0, 1)},
	} {
		raw := r.Append(nil)
		got, err := ParseLine(raw)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(r, got); diff != "" {
			t.Errorf("%s is read as another (-written +read):\n%s", name, diff)
		}
	}
	want := `{"traceparent":"` + example + `","containerID":"c1","ifname":"eth0","verb":"ADD","network":"vpc","kind":"plugin","name":"vpc-veth","start":1700000000000000000,"ns":5}` + "\n"
	r := Record{
		Traceparent: parent(t, example), Kind: Plugin, Name: "vpc-veth", Verb: "ADD", Attachment: vpcnet.Attachment{Network: "vpc", ContainerID: "c1", IfName: "eth0"},
		Start: time.Unix(1700000000, 0), Duration: 5,
	}
	if got := string(r.Append(nil)); got != want {
		t.Errorf("the line is\n%s, want\n%s", got, want)
	}
}

// Whatever comes in, a line keeps its bound, is JSON, and holds no newline.
func TestLineIsBounded(t *testing.T) {
	for _, filling := range []string{`"`, `\`, "\x00", "\xff", "ü", "a", "\n", "\u009b", "\x7f"} {
		long := strings.Repeat(filling, 9000)
		r := whole(t)
		r.Kind, r.Name, r.Verb, r.Pod, r.Code, r.Error, r.Text, r.RequestID = Kind(long), long, long, long, long, long, long, long
		r.Attachment = vpcnet.Attachment{Network: long, ContainerID: long, IfName: long}
		r.Start, r.Duration, r.Attempts = time.Unix(0, 1<<63-1), 1<<63-1, 1<<62
		for len(r.Links) < 100 {
			r.Links = append(r.Links, r.Traceparent)
		}
		raw := r.Append(nil)
		if len(raw) >= MaxLine || !json.Valid(raw) || strings.Count(string(raw), "\n") != 1 {
			t.Errorf("filled with %q: %d bytes: %s", filling, len(raw), raw)
		}
		if got, err := ParseLine(raw); err != nil || len(got.Links) != MaxLinks {
			t.Errorf("filled with %q: %d links, %v", filling, len(got.Links), err)
		}
	}
}

// A line is a record or an error; a record is read as it was written.
func FuzzParseLine(f *testing.F) {
	f.Add(string(whole(f).Append(nil)))
	f.Add(`{"traceparent":"` + example + `","kind":"x","start":1,"links":["` + example + `"],"parent":"00f067aa0ba902b7"}`)
	f.Add(`{"traceparent":"` + example + `","kind":"x","start":-1}`)
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseLine([]byte(text))
		if err != nil {
			return
		}
		raw := r.Append(nil)
		again, err := ParseLine(raw)
		if err != nil {
			t.Fatalf("%q: %v", raw, err)
		}
		if string(again.Append(nil)) != string(raw) {
			t.Errorf("%q was read as %+v", raw, again)
		}
	})
}
