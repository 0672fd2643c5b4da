package flight

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

func att(id string) vpcnet.Attachment {
	return vpcnet.Attachment{Network: "vpc", ContainerID: id, IfName: "eth0"}
}

// call is what a plugin does: it finds the trace or starts one, and writes.
func call(r Recorder, a vpcnet.Attachment, verb, plugin string, now time.Time) Record {
	p := r.Open()
	defer p.Close()
	rec := Record{Kind: Plugin, Name: plugin, Verb: verb, Attachment: a, Start: now, Duration: time.Millisecond}
	if parent, ok := p.Find(a, verb, plugin, now); ok {
		rec.Traceparent, rec.Parent = parent.Child(), parent.Span
	} else {
		rec.Traceparent = New()
	}
	p.Write(rec)
	return rec
}

func TestFind(t *testing.T) {
	r := Recorder{Dir: t.TempDir()}
	now := time.Unix(1700000000, 0)
	chain := func(id, verb string, plugins ...string) (traces []TraceID) {
		var first Record
		for i, plugin := range plugins {
			now = now.Add(time.Millisecond)
			rec := call(r, att(id), verb, plugin, now)
			if traces = append(traces, rec.Trace); i == 0 {
				first = rec
			} else if rec.Trace == first.Trace && rec.Parent != first.Span {
				t.Errorf("%s of %s is below %v, want %v", plugin, id, rec.Parent, first.Span)
			}
		}
		return traces
	}
	same := func(traces []TraceID) bool {
		for _, x := range traces {
			if x != traces[0] {
				return false
			}
		}
		return true
	}
	add := chain("c1", "ADD", "vpc-ipam", "vpc-veth", "vpc-snat", "vpc-sgpp")
	other := chain("c2", "ADD", "vpc-ipam", "vpc-veth")
	del := chain("c1", "DEL", "vpc-sgpp", "vpc-snat", "vpc-veth", "vpc-ipam")
	again := chain("c1", "DEL", "vpc-sgpp", "vpc-snat", "vpc-veth", "vpc-ipam")
	prefix := chain("c", "ADD", "vpc-snat")
	for name, traces := range map[string][]TraceID{"ADD": add, "another's": other, "DEL": del, "DEL again": again} {
		if !same(traces) {
			t.Errorf("%s is in more than one trace: %v", name, traces)
		}
	}
	if other[0] == add[0] || del[0] == add[0] || again[0] == del[0] || prefix[0] == other[0] {
		t.Errorf("calls share a trace: %v", []TraceID{add[0], other[0], del[0], again[0], prefix[0]})
	}
	// A DEL that failed half-way is not continued by the next one.
	half := chain("c3", "DEL", "vpc-sgpp", "vpc-snat")
	retried := chain("c3", "DEL", "vpc-sgpp", "vpc-snat", "vpc-veth")
	if !same(retried) || retried[0] == half[0] {
		t.Errorf("%v after %v", retried, half)
	}
	// A record that is too old belongs to a call that ended long ago.
	late := call(r, att("c2"), "ADD", "vpc-snat", now.Add(2*maxAge))
	if late.Trace == other[0] {
		t.Error("an old trace was taken up")
	}
}

// The trace is found behind the records of many others, and across a rotation.
func TestFindFar(t *testing.T) {
	for _, size := range []int64{1 << 30, 100 << 10} {
		r := Recorder{Dir: t.TempDir(), Size: size}
		now := time.Now()
		first := call(r, att("mine"), "DEL", "vpc-sgpp", now)
		for i := range 500 {
			call(r, att(fmt.Sprintf("other%d", i)), "DEL", "vpc-sgpp", now)
		}
		second := call(r, att("mine"), "DEL", "vpc-snat", now)
		if second.Trace != first.Trace {
			t.Errorf("size %d: it was not found", size)
		}
		for i := range 300 {
			call(r, att(fmt.Sprintf("later%d", i)), "DEL", "vpc-sgpp", now)
		}
		// The near half of the trace alone must not hide that this is another call.
		if third := call(r, att("mine"), "DEL", "vpc-sgpp", now); third.Trace == first.Trace {
			t.Errorf("size %d: the second call joined the first one's trace", size)
		}
	}
}

func FuzzFind(f *testing.F) {
	a := att("c1")
	good := Record{Traceparent: New(), Kind: Plugin, Name: "vpc-ipam", Verb: "ADD", Attachment: a, Start: time.Unix(1700000000, 0)}
	f.Add(good.Append([]byte("\n")))
	f.Add(append(good.Append(nil), good.key()...))
	f.Fuzz(func(t *testing.T, raw []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, newest), raw, 0o600); err != nil {
			t.Fatal(err)
		}
		p := Recorder{Dir: dir}.Open()
		defer p.Close()
		if parent, ok := p.Find(a, "ADD", "vpc-veth", time.Unix(1700000001, 0)); ok && (parent.IsZero() || parent.Span.IsZero()) {
			t.Errorf("%q: %v", raw, parent)
		}
	})
}

// What a plugin pays: two records, and a search, which ends soon where the plugin
// before was just there, and late where there was none.
func BenchmarkPlugin(b *testing.B) {
	now := time.Now()
	for name, wanted := range map[string]string{"find": "other1999", "find none": "unknown", "two records": ""} {
		b.Run(name, func(b *testing.B) {
			r := Recorder{Dir: b.TempDir()}
			for i := range 2000 {
				call(r, att(fmt.Sprintf("other%d", i)), "ADD", "vpc-ipam", now)
			}
			for b.Loop() {
				p := r.Open()
				if wanted != "" {
					if _, ok := p.Find(att(wanted), "ADD", "vpc-veth", now); ok != (wanted == "other1999") {
						b.Fatal(ok)
					}
				} else {
					p.Write(Record{Traceparent: New(), Kind: Plugin, Begin: true, Start: now})
					p.Write(Record{Traceparent: New(), Kind: Plugin, Start: now})
				}
				p.Close()
			}
		})
	}
}
