package engine

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/config"
	"github.com/vpcchain/vpcchain/daemon/internal/eni"
)

// come is ADDs at intervals; it returns their answers so far.
func (r *rig) come(n int, apart time.Duration) func() []answer {
	var all []func() answer
	for i := range n {
		all = append(all, r.beside(fmt.Sprintf("burst-%d", i), time.Minute))
		pass(apart)
	}
	return func() (out []answer) {
		for _, a := range all {
			out = append(out, a())
		}
		return out
	}
}

// wantServed checks that each ADD has an address, and how long the last one took.
func (r *rig) wantServed(all []answer, most time.Duration) {
	r.t.Helper()
	for i, a := range all {
		if a.addr == "" || a.took > most {
			r.t.Errorf("ADD %d: %+v, want an address within %s", i, a, most)
		}
	}
}

func (r *rig) wantCalls(name string, most int) {
	r.t.Helper()
	if n := len(r.ec2.times(name)); n > most {
		r.t.Errorf("%d times %s, want %d", n, name, most)
	}
}

func five() eni.Limits { return eni.Limits{ENIs: 5, IPv4PerENI: 11} }

// The pods of a burst come within milliseconds: one call is made for all.
func TestBurstIsGathered(t *testing.T) {
	inBubble(t, config.Config{MinimumIP: 1, MaxENI: 1}, func(_ *testing.T, r *rig) {
		r.ec2.limits = five()
		r.start()
		got := r.come(10, 2*time.Millisecond)
		pass(5 * time.Second)
		r.wantServed(got(), gatherMost+2*r.ec2.latency)
		r.wantCalls("Assign", 2) // that of the start, and one
	})
}

// ADDs that never stop coming do not keep the pool from growing.
func TestGatheringEnds(t *testing.T) {
	inBubble(t, config.Config{MinimumIP: 1, MaxENI: 1}, func(_ *testing.T, r *rig) {
		r.ec2.limits = eni.Limits{ENIs: 1, IPv4PerENI: 201}
		r.start()
		got := r.come(190, 5*time.Millisecond)
		r.wantServed(got()[:100], gatherMost+3*r.ec2.latency)
	})
}

// Pods that come one by one while an ENI is being made have their addresses on
// it, and cost no ENI of their own.
func TestADDsOneByOne(t *testing.T) {
	inBubble(t, config.Config{MinimumIP: 10}, func(_ *testing.T, r *rig) {
		r.ec2.limits = five()
		r.start()
		for i := range 10 {
			r.mustAssign(fmt.Sprint(i))
		}
		calls := len(r.ec2.times("Assign"))
		r.ec2.slow["Attach"] = 2 * time.Second
		got := r.come(8, 200*time.Millisecond)
		pass(10 * time.Second)
		r.wantServed(got(), 3*time.Second)
		r.wantCalls("Create", 1)
		r.wantCalls("Assign", calls+1)
	})
}

// slowly takes its time to tell where ENIs may go.
type slowly struct{ *fakePlaces }

func (p slowly) Places(ctx context.Context, node eni.Node) ([]eni.Placement, error) {
	time.Sleep(time.Second)
	return p.fakePlaces.Places(ctx, node)
}

// An ENI has the size that is right when it is made, not when it was decided.
func TestSizedAtTheCall(t *testing.T) {
	inZones(t, config.Config{MinimumIP: 10}, map[string]int{"subnet-1": 100}, "subnet-1", func(t *testing.T, r *rig, _ *zones, p *fakePlaces) {
		r.ec2.limits = five()
		r.deps.Placement = slowly{p}
		r.start()
		for i := range 10 {
			r.mustAssign(fmt.Sprint(i))
		}
		calls := len(r.ec2.times("Assign"))
		got := r.come(8, 100*time.Millisecond)
		pass(10 * time.Second)
		r.wantServed(got(), 3*time.Second)
		r.wantCalls("Create", 1)
		r.wantCalls("Assign", calls)
		r.wantCounts("2/18/0/0")
	})
}

// A new ENI whose prefixes the subnet does not have comes with single addresses
// at once: the subnet is not full.
func TestNoPauseForWantOfABlock(t *testing.T) {
	inBubble(t, prefixMode(), func(t *testing.T, r *rig) {
		r.ec2.blocks = 4
		r.start()
		for i := range 64 {
			r.mustAssign(fmt.Sprint(i))
			pass(20 * time.Millisecond)
		}
		got := r.later("one more", time.Minute)
		pass(10 * time.Second)
		r.wantServed([]answer{got()}, 8*r.ec2.latency)
		if len(r.places) > 0 {
			t.Errorf("subnets that are left alone: %v", r.places)
		}
	})
}

// Calls that fail together are one failure: the next attempt is not put off for each.
func TestFailuresTogetherCountOnce(t *testing.T) {
	inBubble(t, config.Config{WarmENI: 4}, func(t *testing.T, r *rig) {
		r.ec2.limits = five()
		r.ec2.broken["Create"] = eni.ErrUnauthorized
		r.ec2.slow["Assign"] = r.ec2.latency / 2 // the primary ENI is full before they fail
		r.start()
		for r.acting() {
			pass(50 * time.Millisecond)
		}
		if calls, failures := len(r.ec2.times("Create")), r.failures(); calls != 3*failures || failures < 2 {
			t.Errorf("%d calls, 3 at a time, are %d failures", calls, failures)
		}
	})
}

// A call that began before another one failed does not end the pause after it.
func TestSuccessOfBefore(t *testing.T) {
	inBubble(t, config.Config{MinimumIP: 5}, func(t *testing.T, r *rig) {
		r.ec2.faults["Create"] = []error{eni.ErrUnauthorized}
		r.ec2.slow["Assign"] = 2 * r.ec2.latency
		r.start()
		at := r.ec2.times("Create")
		if len(at) != 2 || at[1].Sub(at[0]) < firstBackoff/2 {
			t.Errorf("Create was called at %v, want a pause of %s or half of it more or less", at, firstBackoff)
		}
		r.wantCounts("2/0/0/5")
	})
}

// A start that its context ends in the middle of an attempt tells what went wrong before.
func TestStartTellsWhatWasWrong(t *testing.T) {
	inBubble(t, config.Config{WarmIP: 1}, func(t *testing.T, r *rig) {
		r.ec2.enis["eni-0"].Device = 1
		r.ec2.latency = 10 * time.Second // 20 s each attempt
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		wantError(t, New(r.deps).Start(ctx), "no primary ENI")
	})
}
