package cnitrace

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"

	"github.com/vpcchain/vpcchain/pkg/flight"
)

// node is a state directory with a recorder.
func node(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := (flight.Recorder{Dir: flight.Dir(dir)}).Make(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func args(dir, id string) *skel.CmdArgs {
	return &skel.CmdArgs{
		ContainerID: id, IfName: "eth0", Args: "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0",
		StdinData: []byte(`{"name":"vpc","nodeFacts":"` + dir + `/node.json"}`),
	}
}

// run calls a verb of a plugin as a runtime does: in a process of its own.
func run(name, traceparent, verb string, a *skel.CmdArgs, fails error) (span string, err error) {
	p := New(name, func(key string) string {
		if key == "TRACEPARENT" {
			return traceparent
		}
		return ""
	})
	if name == "vpc-ipam" {
		p.Starts()
	}
	do := func(*skel.CmdArgs) error {
		span = p.Span()
		return fails
	}
	f := p.Funcs(skel.CNIFuncs{Add: do, Del: do, Check: do, GC: do, Status: do})
	err = map[string]func(*skel.CmdArgs) error{"ADD": f.Add, "DEL": f.Del, "CHECK": f.Check, "GC": f.GC, "STATUS": f.Status}[verb](a)
	return span, err
}

func records(t *testing.T, dir string) []flight.Record {
	t.Helper()
	all, err := flight.Read(flight.Dir(dir))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func traces(all []flight.Record) map[flight.TraceID]int {
	n := map[flight.TraceID]int{}
	for _, r := range all {
		n[r.Trace]++
	}
	return n
}

// An ADD is one trace, each verb after it another, a second ADD too.
func TestChainIsOneTrace(t *testing.T) {
	dir := node(t)
	add, del := []string{"vpc-ipam", "vpc-veth", "vpc-snat", "vpc-sgpp"}, []string{"vpc-sgpp", "vpc-snat", "vpc-veth", "vpc-ipam"}
	calls := 0
	for _, c := range []struct {
		verb    string
		plugins []string
	}{{"ADD", add}, {"ADD", add}, {"CHECK", add}, {"CHECK", add}, {"DEL", del}, {"DEL", del}, {"GC", add}, {"ADD", add[:1]}, {"ADD", add}} {
		before := len(records(t, dir))
		for _, name := range c.plugins {
			if _, err := run(name, "", c.verb, args(dir, "c1"), nil); err != nil {
				t.Fatal(err)
			}
		}
		calls++
		all := records(t, dir)
		if n := traces(all); len(n) != calls {
			t.Fatalf("%d traces after %d calls of the chain, the last %s", len(n), calls, c.verb)
		}
		root := all[before]
		for _, r := range all[before+2:] {
			if r.Parent != root.Span || r.Verb != c.verb || r.Pod != "default/web-0" {
				t.Errorf("%+v is not below %v", r, root.Span)
			}
		}
		if !root.Parent.IsZero() || !root.Begin || all[before+1].Begin || all[before+1].Span != root.Span {
			t.Errorf("the trace begins with %+v and %+v", root, all[before+1])
		}
	}
}

// With TRACEPARENT every plugin stands below the runtime's span; one that is no
// traceparent is none.
func TestTraceparent(t *testing.T) {
	dir := node(t)
	for _, text := range []string{"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"} {
		want, _ := flight.Parse(text)
		before := len(records(t, dir))
		for _, name := range []string{"vpc-ipam", "vpc-veth"} {
			span, err := run(name, text, "ADD", args(dir, "c1"), nil)
			if got, ok := flight.Parse(span); !ok || err != nil || got.Trace != want.Trace || got.Span == want.Span {
				t.Errorf("%s has the span %q, %v", name, span, err)
			}
		}
		all := records(t, dir)[before:]
		if len(all) != 4 {
			t.Fatalf("%d records", len(all))
		}
		for _, r := range all {
			if r.Trace != want.Trace || r.Parent != want.Span || r.Sampled != want.Sampled {
				t.Errorf("%+v is not of %s", r, text)
			}
		}
	}
	if _, err := run("vpc-ipam", "00-4BF9", "ADD", args(dir, "c2"), nil); err != nil {
		t.Fatal(err)
	}
	if n := traces(records(t, dir)); len(n) != 2 {
		t.Errorf("%d traces", len(n))
	}
}

func TestErrors(t *testing.T) {
	dir := node(t)
	fails := types.NewError(11, "no free address", "")
	if _, err := run("vpc-ipam", "", "ADD", args(dir, "c1"), fails); !errors.Is(err, error(fails)) {
		t.Errorf("the verb's error became %v", err)
	}
	if _, err := run("vpc-veth", "", "DEL", args(dir, "c1"), errors.New("plain")); err == nil {
		t.Error("the verb's error is lost")
	}
	all := records(t, dir)
	if len(all) != 4 || all[1].Code != "11" || all[1].Error != "no free address" || all[3].Code != "999" || all[0].Failed() {
		t.Errorf("%+v", all)
	}
}

// Without a recorder the verbs do what they do, and the daemon still gets a trace.
func TestNoRecorder(t *testing.T) {
	dir := t.TempDir()
	span, err := run("vpc-ipam", "", "ADD", args(dir, "c1"), nil)
	if _, ok := flight.Parse(span); !ok || err != nil {
		t.Errorf("%q, %v", span, err)
	}
	if left, err := os.ReadDir(dir); len(left) != 0 || err != nil {
		t.Errorf("%v, %v", left, err)
	}
}

// A plugin that waits for the daemon's first start is recorded when it ends.
func TestRecorderComesLate(t *testing.T) {
	dir := t.TempDir()
	p := New("vpc-ipam", func(string) string { return "" })
	add := p.Funcs(skel.CNIFuncs{Add: func(*skel.CmdArgs) error { return flight.Recorder{Dir: flight.Dir(dir)}.Make() }}).Add
	if err := add(args(dir, "c1")); err != nil {
		t.Fatal(err)
	}
	if all := records(t, dir); len(all) != 1 || all[0].Begin || all[0].Name != "vpc-ipam" {
		t.Errorf("%+v", all)
	}
}

func TestStatusIsNotRecorded(t *testing.T) {
	dir := node(t)
	if span, err := run("vpc-ipam", "", "STATUS", args(dir, ""), nil); span != "" || err != nil {
		t.Errorf("%q, %v", span, err)
	}
	if all := records(t, dir); len(all) != 0 {
		t.Errorf("%+v", all)
	}
}

// The recorder is beside the socket or the node facts that the plugin uses.
func TestWhere(t *testing.T) {
	for stdin, want := range map[string]string{
		`{}`:                                "/run/vpc-cni/trace",
		`not JSON`:                          "/run/vpc-cni/trace",
		`{"socket":"relative/ipamd.sock"}`:  "/run/vpc-cni/trace",
		`{"socket":"/a/ipamd.sock"}`:        "/a/trace",
		`{"nodeFacts":"/b/node.json"}`:      "/b/trace",
		`{"ipam":{"socket":"/c/i.sock"}}`:   "/c/trace",
		`{"socket":7,"nodeFacts":"/d/n.j"}`: "/d/trace",
	} {
		if got := where(&skel.CmdArgs{StdinData: []byte(stdin)}, &flight.Record{}); got.Dir != filepath.Clean(want) {
			t.Errorf("%s: %s, want %s", stdin, got.Dir, want)
		}
	}
}
