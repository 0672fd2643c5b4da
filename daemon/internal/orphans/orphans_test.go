package orphans

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/pool"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// node is a kernel with a runtime.
type node struct {
	veths     Veths
	netns     map[string]Trace // Unknown for any other path
	sandboxes map[string]bool
	asked     int
	err       error
}

func newNode() *node {
	return &node{
		veths: Veths{map[vpcnet.Attachment]bool{}, map[string]bool{}}, netns: map[string]Trace{}, sandboxes: map[string]bool{},
	}
}

func (n *node) Veths(context.Context) (Veths, error) { return n.veths, n.err }
func (n *node) Netns(path string) Trace              { return n.netns[path] }

func (n *node) Sandboxes(context.Context) (map[string]bool, error) {
	n.asked++
	return n.sandboxes, n.err
}

func held(id, netns string) pool.Allocation {
	return pool.Allocation{
		Attachment: vpcnet.Attachment{Network: "vpc", ContainerID: id, IfName: "eth0"}, Pod: pool.Pod{Netns: netns}, Since: time.Now(),
	}
}

// find looks every 20 s for the time given and returns when the first orphan
// was found; negative for never.
func find(t *testing.T, f *Finder, limit time.Duration, held ...pool.Allocation) time.Duration {
	t.Helper()
	for begin := time.Now(); time.Since(begin) <= limit; time.Sleep(20 * time.Second) {
		got, err := f.Find(t.Context(), held, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if len(got) > 0 {
			return time.Since(begin)
		}
	}
	return -1
}

func TestFind(t *testing.T) {
	const never = time.Duration(-1)
	for _, tc := range []struct {
		name    string
		pod     pool.Allocation
		before  func(n *node, h pool.Allocation) // a look before the test
		after   func(n *node, h pool.Allocation)
		runtime bool
		want    time.Duration
	}{
		{name: "veth and namespace are there", pod: held("a", "/n/a"), want: never, after: func(n *node, h pool.Allocation) {
			n.veths.Of[h.Attachment], n.netns["/n/a"] = true, There
		}},
		{name: "both are gone", pod: held("a", "/n/a"), want: time.Minute, after: func(n *node, _ pool.Allocation) { n.netns["/n/a"] = Gone }},
		{name: "the veth is gone, the namespace not", pod: held("a", "/n/a"), want: never, after: func(n *node, _ pool.Allocation) { n.netns["/n/a"] = There }},
		{name: "the namespace is gone, the veth not", pod: held("a", "/n/a"), want: never, after: func(n *node, h pool.Allocation) {
			n.veths.Of[h.Attachment], n.netns["/n/a"] = true, Gone
		}},
		{name: "the namespace cannot be looked at", pod: held("a", "/n/a"), want: never},
		{
			name: "a veth that was there is gone, and the namespace was never known", pod: held("a", ""), want: time.Minute,
			before: func(n *node, h pool.Allocation) { n.veths.Of[h.Attachment] = true },
			after:  func(n *node, h pool.Allocation) { delete(n.veths.Of, h.Attachment) },
		},
		{name: "nothing is known of it: it may be delegated", pod: held("a", ""), want: never},
		{name: "nothing is known of it, and the runtime does not know it", pod: held("a", ""), runtime: true, want: time.Minute},
		{
			name: "nothing is known of it, but the runtime knows it", pod: held("a", ""), runtime: true, want: never,
			after: func(n *node, _ pool.Allocation) { n.sandboxes["a"] = true },
		},
		{name: "all gone, but the runtime knows it", pod: held("a", "/n/a"), runtime: true, want: never, after: func(n *node, _ pool.Allocation) {
			n.netns["/n/a"], n.sandboxes["a"] = Gone, true
		}},
		{
			name: "a veth of the stock CNI without an alias", want: never,
			pod:   pool.Allocation{Pod: pool.Pod{HostVeth: "eni0"}},
			after: func(n *node, _ pool.Allocation) { n.veths.Unnamed["eni0"] = true },
		},
		{name: "a veth of the stock CNI that is gone", pod: pool.Allocation{Pod: pool.Pod{HostVeth: "eni0"}}, want: time.Minute},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tc.pod.Since = time.Now()
				n := newNode()
				f := &Finder{Kernel: n, Grace: time.Minute}
				if tc.runtime {
					f.Runtime = n
				}
				if tc.before != nil {
					tc.before(n, tc.pod)
					if got := find(t, f, 0, tc.pod); got != never {
						t.Fatalf("found after %s", got)
					}
				}
				if tc.after != nil {
					tc.after(n, tc.pod)
				}
				if got := find(t, f, 10*time.Minute, tc.pod); got != tc.want {
					t.Errorf("found after %s, want %s", got, tc.want)
				}
			})
		})
	}
}

// What was missing once and is there again, or was added anew, starts over.
func TestStartsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode()
		f, h := &Finder{Kernel: n, Grace: time.Minute}, held("a", "/n/a")
		look := func(want int) {
			t.Helper()
			got, err := f.Find(t.Context(), []pool.Allocation{h}, time.Now())
			if err != nil || len(got) != want {
				t.Errorf("found %v, %v; want %d", got, err, want)
			}
			time.Sleep(40 * time.Second)
		}
		n.netns["/n/a"] = Gone
		look(0)
		n.netns["/n/a"] = There
		look(0)
		n.netns["/n/a"] = Gone
		look(0)
		h.Since = time.Now()
		look(0)
		look(0)
		look(1)
	})
}

// A runtime that does not answer keeps everything; it is asked for orphans only.
func TestRuntime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode()
		f, h := &Finder{Kernel: n, Runtime: n, Grace: time.Minute}, held("a", "/n/a")
		n.netns["/n/a"] = There
		find(t, f, 5*time.Minute, h)
		if n.asked != 0 {
			t.Errorf("the runtime was asked %d times for nothing", n.asked)
		}
		n.netns["/n/a"] = Gone
		find(t, f, 40*time.Second, h)
		time.Sleep(time.Minute)
		f.Runtime = broken{}
		if got, err := f.Find(t.Context(), []pool.Allocation{h}, time.Now()); err == nil || len(got) > 0 || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("found %v, %v", got, err)
		}
		f.Runtime = n
		if got := find(t, f, 0, h); got != 0 {
			t.Errorf("found after %s when the runtime is back", got)
		}
	})
}

type broken struct{}

func (broken) Sandboxes(context.Context) (map[string]bool, error) {
	return nil, errors.New("connection refused")
}

func TestNetnsTrace(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "p")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]Trace{
		"/proc/self/ns/net": There, "/proc/0/ns/net": Gone, file: Gone, filepath.Join(dir, "q"): Gone,
		filepath.Join(dir, "no", "such"): Unknown,
	} {
		if got := netnsTrace(path); got != want {
			t.Errorf("%s is %d, want %d", path, got, want)
		}
	}
	if VisibleNetns(file) != "" || VisibleNetns("") != "" || VisibleNetns("/proc/self/ns/net") == "" {
		t.Error("VisibleNetns tells another thing than there is")
	}
}
