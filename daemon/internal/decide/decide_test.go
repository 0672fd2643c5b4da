package decide

import (
	"encoding/csv"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/daemon/internal/pool"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// world executes actions at once on a pool, as an EC2 without delays would.
type world struct {
	p      *pool.Pool
	now    time.Time
	limits eni.Limits
	enis   []eni.ENI
	next   netip.Addr
	steps  int
}

func newWorld(limits eni.Limits) *world {
	w := &world{p: pool.New(30 * time.Second), now: time.Unix(1e9, 0), limits: limits, next: netip.MustParseAddr("10.0.0.10")}
	w.attach(0)
	return w
}

func (w *world) addrs(n int) []netip.Addr {
	var out []netip.Addr
	for range n {
		out = append(out, w.next)
		w.next = w.next.Next()
	}
	return out
}

func (w *world) attach(n int) {
	w.enis = append(w.enis, eni.ENI{ID: fmt.Sprintf("eni-%d", len(w.enis)), Device: len(w.enis), Addresses: w.addrs(n)})
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
	i := slices.IndexFunc(w.enis, func(e eni.ENI) bool { return e.ID == a.ENI })
	switch a.Kind {
	case Assign:
		w.enis[i].Addresses = append(w.enis[i].Addresses, w.addrs(a.Count)...)
	case Create:
		w.attach(a.Count)
	case Unassign:
		taken := w.p.TakeAddresses(a.ENI, a.Addrs)
		if len(taken) != len(a.Addrs) {
			t.Fatalf("%v takes an address that is in use", a)
		}
		w.enis[i].Addresses = slices.DeleteFunc(w.enis[i].Addresses, func(x netip.Addr) bool { return slices.Contains(taken, x) })
	case Remove:
		if _, ok := w.p.TakeENI(a.ENI); !ok {
			t.Fatalf("%v takes an ENI that is in use", a)
		}
		w.enis = slices.Delete(w.enis, i, i+1)
	}
	for _, e := range w.enis {
		if len(e.Addresses) > w.limits.Secondary() {
			t.Fatalf("%v overfills %s", a, e.ID)
		}
	}
	if len(w.enis) > w.limits.ENIs {
		t.Fatalf("%v exceeds the instance's ENIs", a)
	}
	w.sync()
}

// converge runs Decide until it has nothing to do.
func (w *world) converge(t testing.TB, targets Targets) {
	t.Helper()
	for w.steps = 0; w.steps < 100; w.steps++ {
		w.now = w.now.Add(2 * time.Minute)
		actions := Decide(Input{Pool: w.p.Snapshot(w.now), Targets: targets, Limits: w.limits, Shrink: true})
		if len(actions) == 0 {
			return
		}
		for _, a := range actions {
			w.do(t, a)
		}
	}
	t.Fatalf("no convergence with %+v", targets)
}

func (w *world) pod(i int) bool {
	_, ok := w.p.Assign(vpcnet.Attachment{Network: "n", ContainerID: strconv.Itoa(i), IfName: "eth0"}, pool.Pod{}, w.now)
	return ok
}

func (w *world) perENI() []int {
	var out []int
	for _, e := range w.enis {
		if len(e.Addresses) > 0 || len(w.enis) == 1 {
			out = append(out, len(e.Addresses))
		}
	}
	slices.Sort(out)
	return out
}

// Rows of the AWS VPC CNI's documentation: attached ENIs and addresses for
// given targets and pods, t3.small.
func TestWarmTargets(t *testing.T) {
	f, err := os.Open("testdata/warm-targets.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	num := func(s string) int { n, _ := strconv.Atoi(s); return n }
	for _, r := range rows[1:] {
		t.Run(strings.Join(r[:5], ","), func(t *testing.T) {
			w := newWorld(eni.Limits{ENIs: 3, IPv4PerENI: 4})
			targets := Targets{WarmENI: num(r[1]), WarmIP: num(r[2]), MinimumIP: num(r[3])}
			w.converge(t, targets)
			for i := range num(r[4]) {
				w.converge(t, targets)
				if !w.pod(i) {
					t.Fatalf("no address for pod %d", i)
				}
			}
			w.converge(t, targets)
			s := w.p.Snapshot(w.now)
			var want []int
			for n := range strings.SplitSeq(r[8], "/") {
				want = append(want, num(n))
			}
			slices.Sort(want)
			if len(w.enis) != num(r[5]) || s.Total() != num(r[6]) || s.Count(pool.Free) != num(r[7]) || !slices.Equal(w.perENI(), want) {
				t.Errorf("%d ENIs, %d addresses, %d unused, %v per ENI; want %s", len(w.enis), s.Total(), s.Count(pool.Free), w.perENI(), r[5:])
			}
		})
	}
}

// Whatever the targets and the pods' coming and going, the pool converges and
// ends on its target or at the instance's limit.
func FuzzDecide(f *testing.F) {
	f.Add(uint8(1), uint8(0), uint8(0), uint8(5), uint8(3))
	f.Add(uint8(0), uint8(2), uint8(5), uint8(9), uint8(9))
	f.Fuzz(func(t *testing.T, warmENI, warmIP, minIP, pods, leave uint8) {
		targets := Targets{WarmENI: int(warmENI % 4), WarmIP: int(warmIP % 12), MinimumIP: int(minIP % 20)}
		w := newWorld(eni.Limits{ENIs: 3, IPv4PerENI: 6})
		held := 0
		for i := range int(pods % 20) {
			if !w.pod(i) {
				w.converge(t, targets)
				if !w.pod(i) {
					continue
				}
			}
			held++
		}
		for i := range int(leave % 20) {
			if _, ok := w.p.Release(vpcnet.Attachment{Network: "n", ContainerID: strconv.Itoa(i), IfName: "eth0"}, w.now); ok {
				held--
			}
		}
		w.converge(t, targets)
		s := w.p.Snapshot(w.now)
		if s.Count(pool.Used) != held || len(s.Lost) > 0 {
			t.Fatalf("%d used, %d lost, %d held", s.Count(pool.Used), len(s.Lost), held)
		}
		in := Input{Pool: s, Targets: targets, Limits: w.limits}
		if in.short() > 0 && s.Total() < 3*5 {
			t.Fatalf("short by %d with room left: %d addresses", in.short(), s.Total())
		}
	})
}
