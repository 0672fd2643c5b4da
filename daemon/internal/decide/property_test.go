package decide

import (
	"math/rand/v2"
	"testing"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/daemon/internal/pool"
)

// Whatever the instance type, the targets, the mode and the pods' coming and
// going, the pool converges in a few rounds and ends on what the formulas say.
func TestEveryInstanceType(t *testing.T) {
	for i, r := range readCSV(t, "../limits/limits.csv") {
		t.Run(r[0], func(t *testing.T) {
			limits := eni.Limits{ENIs: num(r[1]), IPv4PerENI: num(r[2]), Hypervisor: r[3]}
			for n := range 4 {
				checkType(t, limits, rand.New(rand.NewPCG(uint64(i), uint64(n)))) //nolint:gosec // repeatable
			}
		})
	}
}

func FuzzDecide(f *testing.F) {
	f.Add(uint64(1), uint64(2), uint8(3), uint8(6))
	f.Fuzz(func(t *testing.T, a, b uint64, enis, addrs uint8) {
		limits := eni.Limits{ENIs: 1 + int(enis%8), IPv4PerENI: 2 + int(addrs%20), Hypervisor: "nitro"}
		checkType(t, limits, rand.New(rand.NewPCG(a, b))) //nolint:gosec // repeatable
	})
}

func randomTargets(r *rand.Rand) Targets {
	t := Targets{WarmENI: r.IntN(4), WarmPrefix: r.IntN(4)}
	if r.IntN(2) == 0 {
		t.WarmIP = r.IntN(40)
		t.MinimumIP = r.IntN(2) * r.IntN(150)
	}
	t.MaxENI = r.IntN(2) * r.IntN(6)
	t.MaxPods = r.IntN(2) * (1 + r.IntN(250))
	return t
}

// checkType lets pods come and go in both modes, with a switch between them.
func checkType(t *testing.T, limits eni.Limits, r *rand.Rand) {
	t.Helper()
	mode := limits.Prefixes() && r.IntN(2) == 0
	w := newWorld(limits, randomTargets(r), mode)
	if r.IntN(4) == 0 {
		w.blocks = r.IntN(6)
	}
	pods := map[int]pool.Allocation{}
	for round := range 4 {
		if round == 2 && limits.Prefixes() {
			w.restart(!w.prefixes)
		}
		w.traffic(t, r, pods)
		w.converge(t)
		for i, was := range pods {
			if is, ok := w.p.Held(podOf(i)); !ok || is != was {
				t.Fatalf("pod %d had %+v and has %+v", i, was, is)
			}
		}
		w.checkFormulas(t)
	}
}

// traffic releases some pods, and starts others; whoever finds no address waits
// for the pool to grow.
func (w *world) traffic(t *testing.T, r *rand.Rand, pods map[int]pool.Allocation) {
	t.Helper()
	for i := range pods {
		if r.IntN(3) > 0 {
			w.p.Release(podOf(i), w.now)
			delete(pods, i)
		}
	}
	fresh := r.IntN(10000) * 1000
	for i := range r.IntN(300) {
		if w.targets.MaxPods > 0 && len(pods) >= w.targets.MaxPods {
			return // the scheduler sends no more
		}
		if !w.pod(fresh + i) {
			w.converge(t)
			if !w.pod(fresh+i) && !w.growFor(t, fresh+i) {
				return
			}
		}
		pods[fresh+i], _ = w.p.Held(podOf(fresh + i))
	}
}

// growFor grows the pool for a pod that waits; at the limits it waits in vain.
func (w *world) growFor(t *testing.T, pod int) bool {
	t.Helper()
	in := w.input()
	in.Waiters = 1
	for _, a := range Decide(in) {
		if a.Kind != Assign && a.Kind != Create {
			t.Fatalf("%v while a pod waits", a)
		}
		w.do(t, a)
	}
	snap := w.p.Snapshot(w.now)
	full := w.room() <= 0 || w.targets.MaxPods > 0 && snap.Total() >= w.targets.MaxPods
	served := w.pod(pod)
	if !served && !full && snap.Count(pool.Cooling) == 0 {
		t.Fatalf("no address for pod %d with room left", pod)
	}
	return served
}

// room is how many more pieces the ENIs can have, those that may come included.
func (w *world) room() int {
	n := (w.maxENI() - len(w.enis)) * w.limits.Secondary()
	for _, e := range w.enis {
		n += w.limits.Secondary() - len(e.Addresses) - len(e.Prefixes)
	}
	return n
}

// checkFormulas compares with the stock CNI's formulas, written down here once
// more. Of the mode's kind alone, except what stands in for it.
func (w *world) checkFormulas(t *testing.T) {
	t.Helper()
	_, fragmented := w.fragmented[subnet]
	used, free, whole, usedBlocks, blocks := 0, 0, 0, 0, 0
	for _, e := range w.p.Snapshot(w.now).ENIs {
		for _, a := range e.Slots {
			if a.State == pool.Used {
				used++
			} else if a.Prefix.IsValid() == w.prefixes || w.prefixes && fragmented {
				free++
			} else if !a.Prefix.IsValid() {
				t.Fatalf("%s is free and of the other mode", a.Addr)
			}
		}
		for _, b := range e.Blocks() {
			blocks++
			if b.Used > 0 {
				usedBlocks++
			} else if whole++; !w.prefixes {
				t.Fatalf("%s is free and of the other mode", b.Prefix)
			}
		}
	}
	full := w.room() <= 0 || w.targets.MaxPods > 0 && used+free >= w.targets.MaxPods
	x := tally{used, free, whole, usedBlocks, blocks, w.limits.Secondary(), full}
	switch {
	case w.targets.WarmIP > 0 || w.targets.MinimumIP > 0:
		w.checkPerIP(t, x, fragmented)
	case w.prefixes:
		w.checkPerPrefix(t, x, fragmented)
	default:
		w.checkPerENI(t, x)
	}
}

type tally struct {
	used, free, whole, usedBlocks, blocks, perENI int
	full                                          bool
}

func (w *world) checkPerIP(t *testing.T, x tally, fragmented bool) {
	t.Helper()
	short := max(w.targets.WarmIP-x.free, w.targets.MinimumIP-x.used-x.free, 0)
	over := max(min(x.free-w.targets.WarmIP, x.used+x.free-w.targets.MinimumIP), 0)
	if short > 0 && !x.full {
		t.Fatalf("%+v: %+v: short by %d with room left", w.targets, x, short)
	}
	if over > 0 && (!w.prefixes || fragmented && x.free > 16*x.whole && x.blocks == 0 || x.whole > 0 && over >= 16) {
		t.Fatalf("%+v: %+v: %d too many", w.targets, x, over)
	}
}

func (w *world) checkPerPrefix(t *testing.T, x tally, fragmented bool) {
	t.Helper()
	low := x.free < 16*w.targets.WarmPrefix || x.free == 0
	if low && !x.full {
		t.Fatalf("%+v: %+v: low with room left", w.targets, x)
	}
	if x.whole > w.targets.WarmPrefix && x.free > 16 {
		t.Fatalf("%+v: %+v: too many free prefixes", w.targets, x)
	}
	if most := max(16*w.targets.WarmPrefix, 1); fragmented && x.blocks == 0 && x.free > most {
		t.Fatalf("%+v: %+v: too many single addresses", w.targets, x)
	}
}

func (w *world) checkPerENI(t *testing.T, x tally) {
	t.Helper()
	target := w.targets.WarmENI * x.perENI
	if (x.free < target || x.free == 0) && !x.full {
		t.Fatalf("%+v: %+v: low with room left", w.targets, x)
	}
	for _, e := range w.p.Snapshot(w.now).ENIs {
		n := e.Count(pool.Free)
		if !e.IsPrimary() && n == len(e.Slots) && x.free-n >= max(target, 1) {
			t.Fatalf("%+v: %+v: %s with %d addresses is one too many", w.targets, x, e.ID, n)
		}
	}
}
