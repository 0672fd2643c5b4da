package engine

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/config"
	"github.com/vpcchain/vpcchain/daemon/internal/decide"
	"github.com/vpcchain/vpcchain/daemon/internal/eni"
)

// ids are the ENIs that exist in EC2, attached or not.
func (f *fakeEC2) ids() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []string
	for id := range f.enis {
		out = append(out, id)
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func (f *fakeEC2) has(id string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.enis[id].Addresses)
}

func TestGrowOverENIs(t *testing.T) {
	inBubble(t, config.Config{WarmENI: 2}, func(t *testing.T, r *rig) {
		r.ec2.limits = eni.Limits{ENIs: 4, IPv4PerENI: 3}
		r.start()
		r.wantCounts("2/0/0/4")
		for i := range 4 {
			r.mustAssign(fmt.Sprint(i))
		}
		pass(5 * time.Second)
		r.wantCounts("4/4/0/4")
		devices := map[int]bool{}
		for _, e := range r.View().Pool.ENIs {
			devices[e.Device] = true
			if !e.IsPrimary() && !r.ec2.enis[e.ID].DeleteOnTermination {
				t.Errorf("%s outlives the instance", e.ID)
			}
		}
		if len(devices) != 4 {
			t.Errorf("devices %v; ENIs that were made together must not share one", devices)
		}
	})
}

// What a failed creation made is removed, and the next attempt succeeds.
func TestFailedCreateUndoes(t *testing.T) {
	for _, tc := range []struct {
		step           string
		created, undos int
	}{{"Create", 1, 0}, {"Attach", 2, 1}, {"DeleteWithInstance", 2, 1}} {
		t.Run(tc.step, func(t *testing.T) {
			inBubble(t, config.Config{MinimumIP: 5}, func(t *testing.T, r *rig) {
				boom := errors.New("boom")
				r.ec2.faults[tc.step] = []error{boom}
				r.ec2.latency = 10 * time.Millisecond
				r.Engine = New(r.deps)
				if err := r.Start(t.Context()); err != nil {
					t.Fatal(err)
				}
				if err := r.createENI(t.Context(), 0, decide.Action{Count: 3}); !errors.Is(err, boom) {
					t.Errorf("createENI = %v", err)
				}
				if ids := r.ec2.ids(); ids != "eni-0" {
					t.Errorf("left in EC2: %s", ids)
				}
				if n := len(r.ec2.times("Delete")); n != tc.undos {
					t.Errorf("%d ENIs deleted, want %d", n, tc.undos)
				}
				r.start()
				r.wantCounts("2/0/0/5")
				if ids := r.ec2.ids(); ids != fmt.Sprintf("eni-0 eni-%d", tc.created) || len(r.devices) != 0 {
					t.Errorf("in EC2: %s; devices still reserved: %v", ids, r.devices)
				}
			})
		})
	}
}

func TestFailedUndoIsReported(t *testing.T) {
	inBubble(t, config.Config{WarmIP: 1}, func(t *testing.T, r *rig) {
		r.start()
		for _, tc := range []struct{ fails, undo string }{{"Attach", "Delete"}, {"DeleteWithInstance", "Detach"}} {
			r.ec2.set(func() {
				r.ec2.faults[tc.fails] = []error{errors.New("first")}
				r.ec2.faults[tc.undo] = []error{errors.New("second")}
			})
			wantError(t, r.createENI(t.Context(), 0, decide.Action{Count: 1}), "first", "undoing: second")
		}
	})
}

func TestSubnetFullTakesWhatThereIs(t *testing.T) {
	inBubble(t, config.Config{WarmIP: 4}, func(t *testing.T, r *rig) {
		r.ec2.free = 2
		r.start()
		r.wantCounts("1/0/0/2")
		r.wantStatus(Limited, "too few free addresses", "add one for pods")
		a, b := r.later("a", time.Minute), r.later("b", time.Minute)
		c := r.later("c", 10*time.Minute)
		if a().addr == "" || b().addr == "" || c().took >= 0 {
			t.Errorf("two addresses: a %+v, b %+v, c %+v", a(), b(), c())
		}
		pass(time.Second)
		r.wantStatus(Unavailable, "no free address", "too few free addresses")
		r.ec2.set(func() { r.ec2.free = 50 })
		pass(2 * time.Minute)
		if c().addr == "" {
			t.Errorf("the subnet has addresses again: %+v", c())
		}
		r.wantStatus(OK)
	})
}

// The answer of an Assign got lost: EC2 has the addresses, the pool does not.
func TestLostAssignIsFound(t *testing.T) {
	inBubble(t, config.Config{WarmIP: 4}, func(t *testing.T, r *rig) {
		r.ec2.lost["Assign"] = true
		r.start()
		pass(10 * time.Second)
		r.wantCounts("1/0/0/4")
		if n := r.ec2.has("eni-0"); n != 4 {
			t.Errorf("EC2 has %d addresses on the ENI", n)
		}
		r.wantStatus(OK)
	})
}

func TestBackoff(t *testing.T) {
	inBubble(t, config.Config{WarmIP: 1}, func(t *testing.T, r *rig) {
		r.ec2.broken["Assign"] = eni.ErrUnauthorized
		r.start()
		waiting := r.later("a", 2*time.Hour)
		pass(time.Hour)
		at := r.ec2.times("Assign")
		if len(at) < 40 || len(at) > 140 {
			t.Errorf("%d calls in an hour, want about one a minute", len(at))
		}
		for i := range at[1:] {
			d := min(firstBackoff<<min(i, 10), lastBackoff)
			if gap := at[i+1].Sub(at[i]); gap < d/2 || gap > d*3/2+time.Second {
				t.Errorf("attempt %d came %s after the one before, want %s and half of it more or less", i+1, gap, d)
			}
		}
		r.ec2.set(func() { delete(r.ec2.broken, "Assign") })
		pass(2 * time.Minute)
		if waiting().addr == "" {
			t.Errorf("EC2 works again: %+v", waiting())
		}
		r.wantStatus(OK)
		if r.backoff.failures != 0 {
			t.Error("the next failure would not start at a second")
		}
	})
}

// Many ADDs that come while EC2 fails must not make more calls than one does.
func TestADDsDoNotBreakTheBackoff(t *testing.T) {
	inBubble(t, config.Config{WarmIP: 1, MaxENI: 1}, func(t *testing.T, r *rig) {
		r.ec2.broken["Assign"] = eni.ErrUnauthorized
		r.start()
		pass(10 * time.Minute)
		before := len(r.ec2.times("Assign"))
		for i := range 200 {
			r.later(fmt.Sprint(i), 20*time.Second)
			pass(50 * time.Millisecond)
		}
		if n := len(r.ec2.times("Assign")) - before; n > 2 {
			t.Errorf("%d calls of EC2 in 10 s of ADDs", n)
		}
		pass(time.Minute)
	})
}

func TestShrinkAddresses(t *testing.T) {
	inBubble(t, config.Config{WarmIP: 1}, func(t *testing.T, r *rig) {
		r.start()
		for i := range 4 {
			r.mustAssign(fmt.Sprint(i))
		}
		pass(5 * time.Second)
		r.wantCounts("2/4/0/1")
		for i := range 3 {
			r.mustRelease(fmt.Sprint(i))
		}
		pass(20 * time.Second)
		r.wantCounts("2/1/0/4")
		pass(2 * time.Minute)
		r.wantCounts("1/1/0/1")
		if r.held(att("3")).ENI != "eni-0" || r.ec2.has("eni-0") != 2 || r.ec2.ids() != "eni-0" {
			t.Errorf("EC2 has %s, %d addresses on the first; pod 3 holds %+v", r.ec2.ids(), r.ec2.has("eni-0"), r.held(att("3")))
		}
	})
}

// An address that EC2 refused to take back is the pool's still.
func TestRefusedUnassign(t *testing.T) {
	inBubble(t, config.Config{WarmIP: 1}, func(t *testing.T, r *rig) {
		r.start()
		r.mustAssign("a")
		pass(time.Second)
		r.mustRelease("a")
		r.ec2.set(func() { r.ec2.faults["Unassign"] = []error{eni.ErrThrottled} })
		for len(r.ec2.times("Unassign")) == 0 {
			pass(100 * time.Millisecond)
		}
		pass(300 * time.Millisecond) // the refusal and the look at EC2; the next attempt is later
		r.wantCounts("1/0/0/2")
		pass(2 * time.Minute)
		r.wantCounts("1/0/0/1")
	})
}

func TestFailedRemove(t *testing.T) {
	inBubble(t, config.Config{WarmIP: 1}, func(t *testing.T, r *rig) {
		r.start()
		for i := range 4 {
			r.mustAssign(fmt.Sprint(i))
		}
		pass(5 * time.Second)
		r.ec2.set(func() { r.ec2.faults["Detach"] = []error{eni.ErrThrottled} })
		for i := range 4 {
			r.mustRelease(fmt.Sprint(i))
		}
		for len(r.ec2.times("Detach")) == 0 {
			pass(time.Second)
		}
		if got := r.counts(); !strings.HasPrefix(got, "2/") {
			t.Errorf("the ENI that is still attached is missing: %s", got)
		}
		pass(5 * time.Minute)
		if ids := r.ec2.ids(); ids != "eni-0" {
			t.Errorf("in EC2: %s", ids)
		}
	})
}

func TestTakenMeanwhile(t *testing.T) {
	inBubble(t, config.Config{WarmIP: 1}, func(t *testing.T, r *rig) {
		r.start()
		r.mustAssign("a")
		if err := r.removeENI(t.Context(), "eni-0"); err != nil {
			t.Error(err)
		}
		if n := len(r.ec2.times("Detach")); n != 0 {
			t.Error("an ENI that is in use was detached")
		}
	})
}
