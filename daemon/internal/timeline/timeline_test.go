package timeline

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vpcchain/vpcchain/pkg/flight"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

var update = flag.Bool("update", false, "write the golden files")

// log is a recorder's content as a test makes it: ids count up, times are in ms
// from a fixed one.
type log struct {
	n       byte
	records []flight.Record
}

func at(ms float64) time.Time {
	return time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC).Add(time.Duration(ms * float64(time.Millisecond)))
}

func (l *log) span(trace byte, parent flight.SpanID, start, took float64, r flight.Record) flight.Record {
	l.n++
	r.Trace, r.Span, r.Parent, r.Sampled = flight.TraceID{15: trace}, flight.SpanID{7: l.n}, parent, true
	r.Start, r.Duration = at(start), time.Duration(took*float64(time.Millisecond))
	if r.Kind == flight.Plugin {
		begin := r
		begin.Begin, begin.Duration, begin.Code, begin.Error = true, 0, "", ""
		l.records = append(l.records, begin)
	}
	if took > 0 {
		l.records = append(l.records, r)
	}
	return r
}

func plugin(name, verb, id string) flight.Record {
	return flight.Record{
		Kind: flight.Plugin, Name: name, Verb: verb, Pod: "default/web-0",
		Attachment: vpcnet.Attachment{Network: "vpc", ContainerID: id, IfName: "eth0"},
	}
}

const (
	web0 = "c0ffee11a4b6d8f00112233445566778899aabbccddeeff00112233445566778"
	web1 = "c0ffee22a4b6d8f00112233445566778899aabbccddeeff00112233445566778"
)

// slow is an ADD that waits for EC2, beside another's that does not.
func slow(l *log) {
	ipam := l.span(1, flight.SpanID{}, 0, 1210, plugin("vpc-ipam", "ADD", web0))
	action := l.span(2, flight.SpanID{}, -400, 1600, flight.Record{Kind: flight.Action, Name: "create", Text: "create an ENI with 14 addresses in subnet-0a"})
	l.span(2, action.Span, -399, 600, flight.Record{Kind: flight.EC2, Name: "CreateNetworkInterface", RequestID: "11111111-2222", Attempts: 2})
	l.span(2, action.Span, 201.5, 900, flight.Record{Kind: flight.EC2, Name: "AttachNetworkInterface", RequestID: "11111111-3333", Attempts: 1})
	throttled := l.span(3, flight.SpanID{}, 40, 150, flight.Record{
		Kind: flight.EC2, Name: "DescribeNetworkInterfaces", RequestID: "11111111-4444", Attempts: 5, Code: "RequestLimitExceeded", Error: "Request limit exceeded.",
	})
	rpc := l.span(1, ipam.Span, 0.8, 1208, flight.Record{Kind: flight.RPC, Name: "Assign", Verb: "ADD", Attachment: ipam.Attachment, Text: "10.0.0.9 of eni-1"})
	l.span(1, rpc.Span, 0.9, 1205, flight.Record{Kind: flight.Wait, Name: "address", Text: "no address is free", Links: []flight.Traceparent{action.Traceparent, throttled.Traceparent}})
	l.span(4, flight.SpanID{}, 500, 2, plugin("vpc-ipam", "ADD", web1))
	l.span(1, ipam.Span, 1213, 3.25, plugin("vpc-veth", "ADD", web0))
	l.span(1, ipam.Span, 1220, 0.5, plugin("vpc-snat", "ADD", web0))
}

// fails is an ADD without an address, and the DEL behind it.
func fails(l *log) {
	r := plugin("vpc-ipam", "ADD", web0)
	r.Code, r.Error = "11", "vpc-ipamd: no free address for vpc/c0ffee: subnet-0a has none: add a subnet for pods"
	ipam := l.span(1, flight.SpanID{}, 0, 5000, r)
	l.span(1, ipam.Span, 0.5, 4999, flight.Record{Kind: flight.RPC, Name: "Assign", Verb: "ADD", Attachment: r.Attachment, Code: "ResourceExhausted", Error: "no free address"})
	first := l.span(2, flight.SpanID{}, 5010, 1, plugin("vpc-sgpp", "DEL", web0))
	l.span(2, first.Span, 5012, 1, plugin("vpc-snat", "DEL", web0))
}

// killed is an ADD whose second plugin did not end, and a second ADD under the
// runtime's trace of the first.
func killed(l *log) {
	parent := flight.SpanID{0: 9}
	l.span(1, parent, 0, 2, plugin("vpc-ipam", "ADD", web0))
	l.span(1, parent, 4, 0, plugin("vpc-veth", "ADD", web0))
	l.span(1, parent, 1000, 2, plugin("vpc-ipam", "ADD", web0))
	l.span(1, parent, 1004, 2, plugin("vpc-veth", "ADD", web0))
	r := plugin("vpc-snat", "GC", "")
	r.Attachment.IfName, r.Pod = "", ""
	l.span(5, flight.SpanID{}, 2000, 1, r)
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

func TestPrint(t *testing.T) {
	for name, scene := range map[string]func(*log){"slow": slow, "fails": fails, "killed": killed} {
		var l log
		scene(&l)
		calls := Calls(l.records)
		var out strings.Builder
		if err := List(&out, calls, time.UTC); err != nil {
			t.Fatal(err)
		}
		for _, c := range calls {
			out.WriteString("\n")
			if err := c.Print(&out, time.UTC); err != nil {
				t.Fatal(err)
			}
		}
		golden(t, name+".txt", out.String())
		raw, err := json.MarshalIndent(Views(calls), "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name+".json", string(raw)+"\n")
	}
}

func TestStates(t *testing.T) {
	for _, c := range []struct {
		scene func(*log)
		want  []State
		why   []string
	}{
		{slow, []State{OK, OK}, []string{"", ""}}, // EC2's refusal is the daemon's affair
		{fails, []State{Failed, OK}, []string{"vpc-ipam", ""}},
		{killed, []State{Open, OK, OK}, []string{"vpc-veth", "", ""}},
	} {
		var l log
		c.scene(&l)
		calls := Calls(l.records)
		if len(calls) != len(c.want) {
			t.Fatalf("%d calls, want %d", len(calls), len(c.want))
		}
		for i, call := range calls {
			why, _ := call.Why()
			if call.State() != c.want[i] || why.Name != c.why[i] {
				t.Errorf("call %d is %s for %q, want %s for %q", i, call.State(), why.Name, c.want[i], c.why[i])
			}
		}
	}
}

func TestOf(t *testing.T) {
	var l log
	slow(&l)
	fails(&l)
	calls := Calls(l.records)
	for who, want := range map[string]int{"c0ffee1": 3, web1: 1, "default/web-0": 4, "default/web": 0, "f": 0} {
		found, err := Of(calls, who)
		if err != nil || len(found) != want {
			t.Errorf("%s: %d calls, %v; want %d", who, len(found), err, want)
		}
	}
	_, err := Of(calls, "c0ffee")
	if a, ok := errors.AsType[*AmbiguousError](err); !ok || len(a.Containers) != 2 || !strings.Contains(err.Error(), web1) {
		t.Errorf("%v", err)
	}
	// An id that is the beginning of another one is still an id.
	var m log
	m.span(1, flight.SpanID{}, 0, 1, plugin("vpc-ipam", "ADD", "abc"))
	m.span(2, flight.SpanID{}, 1, 1, plugin("vpc-ipam", "ADD", "abcd"))
	if found, err := Of(Calls(m.records), "abc"); err != nil || len(found) != 1 {
		t.Errorf("%v, %v", found, err)
	}
}

// Whatever the records are, they make calls that can be printed: spans below
// themselves, links in circles, times that jump.
func FuzzCalls(f *testing.F) {
	for _, scene := range []func(*log){slow, fails, killed} {
		var l log
		scene(&l)
		var raw []byte
		for _, r := range l.records {
			raw = r.Append(raw)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var records []flight.Record
		for line := range strings.SplitSeq(string(raw[:min(len(raw), 20000)]), "\n") {
			if r, err := flight.ParseLine([]byte(line)); err == nil {
				records = append(records, r)
			}
		}
		for _, c := range Calls(records) {
			var out strings.Builder
			if err := c.Print(&out, time.UTC); err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(out.String(), c.Verb) && !strings.Contains(c.Verb, " ") {
				t.Errorf("%q", out.String())
			}
		}
	})
}
