package decide

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/daemon/internal/pool"
)

func (w *world) has(id string) bool {
	return slices.ContainsFunc(w.enis, func(e eni.ENI) bool { return e.ID == id })
}

// on are the pods that have an address of the ENI.
func (w *world) on(id string) []pool.Allocation {
	return slices.DeleteFunc(w.p.Allocations(), func(h pool.Allocation) bool { return h.ENI != id })
}

// The pool grows elsewhere for what the drained ENI gave, at once; the ENI goes
// when its last pod has and its addresses have rested; then there is nothing to do.
func TestDrain(t *testing.T) {
	for _, prefixes := range []bool{false, true} {
		t.Run(fmt.Sprintf("prefixes=%t", prefixes), func(t *testing.T) {
			w := newWorld(eni.Limits{ENIs: 4, IPv4PerENI: 3}, Targets{WarmIP: 1}, prefixes)
			w.converge(t)
			for i := range 3 * len(w.p.Snapshot(w.now).ENIs[0].Slots) {
				w.pod(i)
				w.converge(t)
			}
			first := w.enis[1].ID
			pods := w.on(first)
			if len(pods) == 0 {
				t.Fatalf("no pod is on %s", first)
			}
			w.p.Drain(first, true)
			w.converge(t)
			if s := w.p.Snapshot(w.now); s.Count(pool.Free) < 1 || !w.has(first) {
				t.Errorf("%d free addresses while %s is drained", s.Count(pool.Free), first)
			}
			for _, h := range pods {
				w.p.Release(h.Attachment, w.now)
			}
			if got := Decide(w.input()); slices.ContainsFunc(got, func(a Action) bool { return a.ENI == first }) {
				t.Errorf("while its addresses rest: %v", got)
			}
			w.now = w.now.Add(time.Minute)
			in := w.input()
			in.Shrink, in.Waiters, in.Cordoned = false, 1, true // none of which it waits for
			in.Pool = w.p.Snapshot(w.now)
			want := Action{Kind: Remove, ENI: first}
			if got := Decide(in); len(got) == 0 || got[0].String() != want.String() {
				t.Errorf("with nobody left: %v", got)
			}
			in.InFlight = []Action{want}
			if got := in.drained(); len(got) > 0 {
				t.Errorf("asked again: %v", got)
			}
			w.converge(t)
			calls := w.calls
			w.converge(t)
			if w.has(first) || w.calls != calls {
				t.Errorf("%s is there: %t; %d calls more", first, w.has(first), w.calls-calls)
			}
		})
	}
}

// At the instance's limit there is no other ENI to grow on: draining waits for
// the pods, and what the pool lacks comes when the ENI has gone.
func TestDrainAtTheLimit(t *testing.T) {
	w := newWorld(eni.Limits{ENIs: 2, IPv4PerENI: 3}, Targets{WarmIP: 1}, false)
	w.converge(t)
	for i := range 4 {
		w.pod(i)
		w.converge(t)
	}
	last := w.enis[1].ID
	w.p.Drain(last, true)
	calls := w.calls
	w.converge(t)
	if !w.has(last) || w.calls != calls {
		t.Fatalf("%d calls at the limit", w.calls-calls)
	}
	for _, h := range w.on(last) {
		w.p.Release(h.Attachment, w.now)
	}
	w.converge(t)
	if s := w.p.Snapshot(w.now); w.has(last) || len(w.enis) != 2 || s.Count(pool.Free) != 1 {
		t.Errorf("%d ENIs, %s among them: %t, %d free", len(w.enis), last, w.has(last), s.Count(pool.Free))
	}
}

// A drain that is cancelled leaves a pool on its targets.
func TestDrainCancelled(t *testing.T) {
	w := newWorld(eni.Limits{ENIs: 4, IPv4PerENI: 4}, Targets{WarmIP: 2}, false)
	w.converge(t)
	for i := range 5 {
		w.pod(i)
		w.converge(t)
	}
	before := w.p.Snapshot(w.now).Total()
	id := w.enis[1].ID
	w.p.Drain(id, true)
	w.converge(t)
	w.p.Drain(id, false)
	w.converge(t)
	if s := w.p.Snapshot(w.now); s.Total() != before || s.Count(pool.Free) != 2 {
		t.Errorf("%d addresses, %d free; before %d", s.Total(), s.Count(pool.Free), before)
	}
}

// Whatever is drained and cancelled while pods come and go: the pool comes to rest,
// nobody gets an address of what is drained, and what is empty goes.
func TestDrainAtRandom(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 7)) //nolint:gosec // repeatable
		limits := eni.Limits{ENIs: 2 + r.IntN(5), IPv4PerENI: 2 + r.IntN(8), Hypervisor: "nitro"}
		targets := randomTargets(r)
		targets.MaxPods = 0 // the world's own limit does not know that what is drained counts for nothing
		w := newWorld(limits, targets, r.IntN(2) == 0)
		draining, next := map[string]bool{}, 0
		for range 30 {
			switch k := r.IntN(4); {
			case k == 0 && len(w.enis) > 1:
				id := w.enis[1+r.IntN(len(w.enis)-1)].ID
				draining[id] = !draining[id]
				w.p.Drain(id, draining[id])
			case k == 1:
				for _, h := range w.p.Allocations() {
					if r.IntN(2) == 0 {
						w.p.Release(h.Attachment, w.now)
					}
				}
			default:
				for range r.IntN(10) {
					next++
					if h, ok := w.p.Assign(podOf(next), pool.Pod{}, w.now); ok && draining[h.ENI] {
						t.Fatalf("seed %d: a pod gets %s of %s, which is drained", seed, h.Addr, h.ENI)
					}
				}
			}
			w.converge(t)
			for _, e := range w.p.Snapshot(w.now).ENIs {
				if e.Draining && e.Count(pool.Used) == 0 {
					t.Fatalf("seed %d: %s has no pod and stays", seed, e.ID)
				}
			}
		}
	}
}
