package decide

import (
	"encoding/csv"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/daemon/internal/pool"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// world is an EC2 without delays that carries actions out on a pool, and
// refuses what EC2 would refuse.
type world struct {
	p          *pool.Pool
	now        time.Time
	limits     eni.Limits
	targets    Targets
	prefixes   bool
	fragmented map[string]bool // what the daemon believes
	blocks     int             // /28 that the subnet has left
	enis       []eni.ENI
	serial     int
	next       netip.Addr
	block      netip.Addr
	calls      int
}

const subnet = "subnet-1"

func newWorld(limits eni.Limits, targets Targets, prefixes bool) *world {
	w := &world{
		limits: limits, targets: targets, prefixes: prefixes, fragmented: map[string]bool{}, blocks: 1 << 20, now: time.Unix(1e9, 0),
		next: netip.MustParseAddr("10.0.0.10"), block: netip.MustParseAddr("10.128.0.0"),
	}
	w.restart(prefixes)
	w.attach(0, 0)
	return w
}

// restart is a new daemon, which knows who holds what.
func (w *world) restart(prefixes bool) {
	var held []pool.Allocation
	if w.p != nil {
		held = w.p.Allocations()
	}
	w.p, w.prefixes, w.fragmented = pool.New(30*time.Second), prefixes, map[string]bool{}
	if prefixes {
		w.p.PreferPrefixes()
	}
	if err := w.p.Restore(held, nil); err != nil {
		panic(err)
	}
	w.sync()
}

func (w *world) addrs(n int) []netip.Addr {
	var out []netip.Addr
	for range n {
		out = append(out, w.next)
		w.next = w.next.Next()
	}
	return out
}

// takeBlocks is EC2's choice of n prefixes, none if there are not so many.
func (w *world) takeBlocks(n int) []netip.Prefix {
	if n > w.blocks {
		w.fragmented[subnet] = true
		return nil
	}
	w.blocks -= n
	var out []netip.Prefix
	for range n {
		out = append(out, netip.PrefixFrom(w.block, eni.PrefixBits))
		for range perPrefix {
			w.block = w.block.Next()
		}
	}
	if n > 0 {
		delete(w.fragmented, subnet)
	}
	return out
}

func (w *world) attach(addrs, prefixes int) {
	device := 0
	for slices.ContainsFunc(w.enis, func(e eni.ENI) bool { return e.Device == device }) {
		device++
	}
	w.enis = append(w.enis, eni.ENI{
		ID: fmt.Sprintf("eni-%d", w.serial), Device: device, SubnetID: subnet, Addresses: w.addrs(addrs), Prefixes: w.takeBlocks(prefixes),
	})
	w.serial++
	w.sync()
}

func (w *world) sync() {
	w.p.SetENIs(w.enis, w.now)
	for _, e := range w.enis {
		w.p.SetReady(e.ID, true, "")
	}
}

func (w *world) do(t testing.TB, a Action) {
	t.Helper()
	w.calls++
	i := slices.IndexFunc(w.enis, func(e eni.ENI) bool { return e.ID == a.ENI })
	switch a.Kind {
	case Assign:
		blocks := w.takeBlocks(a.Prefixes)
		if len(blocks) < a.Prefixes {
			a.Count = a.Instead
		}
		w.enis[i].Addresses, w.enis[i].Prefixes = append(w.enis[i].Addresses, w.addrs(a.Count)...), append(w.enis[i].Prefixes, blocks...)
	case Create:
		if a.Prefixes > w.blocks {
			w.fragmented[subnet] = true
			a.Count, a.Prefixes = a.Instead, 0
		}
		w.attach(a.Count, a.Prefixes)
	case Unassign:
		w.unassign(t, a, i)
	case Remove:
		gone, ok := w.p.TakeENI(a.ENI)
		if !ok {
			t.Fatalf("%v takes an ENI that is in use", a)
		}
		w.blocks += len(gone.Prefixes)
		w.enis = slices.Delete(w.enis, i, i+1)
	}
	w.sync()
	w.checkLimits(t, a)
}

func (w *world) unassign(t testing.TB, a Action, i int) {
	t.Helper()
	addrs, blocks := w.p.TakeAddresses(a.ENI, a.Addrs), w.p.TakePrefixes(a.ENI, a.Blocks, w.now)
	if len(addrs) != len(a.Addrs) || len(blocks) != len(a.Blocks) || len(addrs)+len(blocks) == 0 {
		t.Fatalf("%v takes what is in use", a)
	}
	e := &w.enis[i]
	e.Addresses = slices.DeleteFunc(e.Addresses, func(x netip.Addr) bool { return slices.Contains(addrs, x) })
	e.Prefixes = slices.DeleteFunc(e.Prefixes, func(x netip.Prefix) bool { return slices.Contains(blocks, x) })
	w.blocks += len(blocks)
}

func (w *world) checkLimits(t testing.TB, a Action) {
	t.Helper()
	for _, e := range w.enis {
		if len(e.Addresses)+len(e.Prefixes) > w.limits.Secondary() {
			t.Fatalf("%v overfills %s", a, e.ID)
		}
	}
	if len(w.enis) > w.maxENI() {
		t.Fatalf("%v exceeds the instance's ENIs", a)
	}
	if a.gives() == 0 || w.targets.MaxPods == 0 {
		return
	}
	unit := 1
	if w.prefixes {
		unit = perPrefix // the last prefix may reach beyond
	}
	if total := w.p.Snapshot(w.now).Total(); total > w.targets.MaxPods+unit-1 && w.foreign() == 0 {
		t.Fatalf("%v makes it %d addresses for %d pods", a, total, w.targets.MaxPods)
	}
}

func (w *world) maxENI() int {
	if w.targets.MaxENI > 0 {
		return min(w.targets.MaxENI, w.limits.ENIs)
	}
	return w.limits.ENIs
}

// foreign is how many pieces are not of the mode's kind.
func (w *world) foreign() int {
	n := 0
	for _, e := range w.enis {
		if w.prefixes {
			n += len(e.Addresses)
		} else {
			n += len(e.Prefixes)
		}
	}
	return n
}

func (w *world) input() Input {
	return Input{Pool: w.p.Snapshot(w.now), Targets: w.targets, Limits: w.limits, Prefixes: w.prefixes, Fragmented: w.fragmented, Shrink: true}
}

// bound is how many rounds of decisions a change may take: to fill ENIs, to make
// others, to give back pieces and then whole ENIs, for each mode.
const bound = 10

// converge runs Decide until it has nothing to do.
func (w *world) converge(t testing.TB) {
	t.Helper()
	for range bound {
		w.now = w.now.Add(2 * time.Minute)
		actions := Decide(w.input())
		if len(actions) == 0 {
			return
		}
		for _, a := range actions {
			w.do(t, a)
		}
	}
	t.Fatalf("no convergence with %+v: next is %v", w.targets, Decide(w.input()))
}

func podOf(i int) vpcnet.Attachment {
	return vpcnet.Attachment{Network: "n", ContainerID: strconv.Itoa(i), IfName: "eth0"}
}

func (w *world) pod(i int) bool {
	_, ok := w.p.Assign(podOf(i), pool.Pod{}, w.now)
	return ok
}

func readCSV(t testing.TB, path string) [][]string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return rows[1:]
}

func num(s string) int { n, _ := strconv.Atoi(s); return n }
