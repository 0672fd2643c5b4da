package orphans

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/pool"
)

// One look: what two sources say is gone goes, and of all else it is said why it stays.
func TestJudge(t *testing.T) {
	const old, young = 5 * time.Minute, 10 * time.Second
	for _, tc := range []struct {
		name    string
		pod     pool.Allocation
		age     time.Duration
		node    func(n *node, h pool.Allocation)
		runtime bool
		before  time.Duration // looks of Find that long before
		release bool
		want    string
	}{
		{name: "the namespace is there", pod: held("a", "/n/a"), age: old, runtime: true, want: "network namespace is there: /n/a", node: func(n *node, _ pool.Allocation) { n.netns["/n/a"] = There }},
		{name: "gone, and the runtime agrees", pod: held("a", "/n/a"), age: old, runtime: true, release: true, want: "does not know its sandbox", node: func(n *node, _ pool.Allocation) { n.netns["/n/a"] = Gone }},
		{name: "gone, but an ADD may be under way", pod: held("a", "/n/a"), age: young, runtime: true, want: "ADD may be under way", node: func(n *node, _ pool.Allocation) { n.netns["/n/a"] = Gone }},
		{name: "gone, but the runtime has it", pod: held("a", "/n/a"), age: old, runtime: true, want: "the runtime has its sandbox", node: func(n *node, _ pool.Allocation) {
			n.netns["/n/a"], n.sandboxes["a"] = Gone, true
		}},
		{name: "the namespace cannot be seen", pod: held("a", "/n/a"), age: old, runtime: true, want: "does not show"},
		{name: "delegated, nothing is known", pod: held("a", ""), age: old, runtime: true, want: "does not show"},
		{name: "delegated, the runtime has not known it for long", pod: held("a", ""), age: old, runtime: true, before: 2 * time.Minute, release: true, want: "no trace for 2m0s"},
		{name: "of the stock CNI", pod: pool.Allocation{Pod: pool.Pod{HostVeth: "eni0"}}, age: old, runtime: true, release: true, want: "does not know its sandbox"},
		{name: "gone, nobody to ask", pod: held("a", "/n/a"), age: old, want: "released when that has lasted 1m0s", node: func(n *node, _ pool.Allocation) { n.netns["/n/a"] = Gone }},
		{name: "gone for a while, nobody to ask", pod: held("a", "/n/a"), age: old, before: 30 * time.Second, want: "released when that has lasted 1m0s", node: func(n *node, _ pool.Allocation) { n.netns["/n/a"] = Gone }},
		{name: "gone for long, nobody to ask", pod: held("a", "/n/a"), age: old, before: time.Minute, release: true, want: "no trace for 1m0s", node: func(n *node, _ pool.Allocation) { n.netns["/n/a"] = Gone }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tc.pod.Since = time.Now()
				n := newNode()
				f := &Finder{Kernel: n, Grace: time.Minute}
				if tc.runtime {
					f.Runtime = n
				}
				if tc.node != nil {
					tc.node(n, tc.pod)
				}
				time.Sleep(tc.age)
				alive := held("alive", "/n/alive")
				n.veths.Of[alive.Attachment] = true
				all := []pool.Allocation{tc.pod, alive}
				if tc.before > 0 {
					if _, err := f.Find(t.Context(), all, time.Now()); err != nil {
						t.Fatal(err)
					}
					time.Sleep(tc.before)
				}
				got, err := f.Judge(t.Context(), all, time.Now())
				if err != nil || got.Alive != 1 || len(got.List) != 1 || got.Asked != tc.runtime {
					t.Fatalf("%+v, %v", got, err)
				}
				if v := got.List[0]; v.Release != tc.release || !strings.Contains(v.Why, tc.want) || v.Attachment != tc.pod.Attachment {
					t.Errorf("released %v: %s\nwant %v: %s", v.Release, v.Why, tc.release, tc.want)
				}
			})
		})
	}
	n := newNode()
	f := &Finder{Kernel: n, Runtime: broken{}, Grace: time.Minute}
	if got, err := f.Judge(t.Context(), []pool.Allocation{held("a", "/n/a")}, time.Now()); err == nil || len(got.List) > 0 {
		t.Errorf("a runtime that does not answer: %+v, %v", got, err)
	}
}
