package engine

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/config"
	"github.com/vpcchain/vpcchain/daemon/internal/eni"
)

// untilCalled lets time go by up to the call; its answer is still to come.
func (r *rig) untilCalled(name string) {
	r.t.Helper()
	for range 10_000 {
		if len(r.ec2.times(name)) > 0 {
			return
		}
		pass(10 * time.Millisecond)
	}
	r.t.Fatalf("%s is not called", name)
}

// surplus is a pool that is about to give one address back.
func (r *rig) surplus() {
	r.t.Helper()
	r.start()
	r.mustAssign("a")
	pass(time.Second)
	r.mustRelease("a")
}

// EC2 took the address back and its answer got lost: no pod may get it.
func TestLostUnassign(t *testing.T) {
	inBubble(t, config.Config{WarmIP: 1, MaxENI: 1}, func(t *testing.T, r *rig) {
		r.surplus()
		r.ec2.lost["Unassign"] = true
		r.untilCalled("Unassign")
		pass(time.Second)
		r.wantCounts("1/0/0/1")
		for i := range 4 {
			addr := netip.MustParseAddr(r.mustAssign(fmt.Sprint(i)))
			r.ec2.set(func() {
				if !slices.Contains(r.ec2.enis["eni-0"].Addresses, addr) {
					t.Errorf("pod %d has %s, which EC2 took back", i, addr)
				}
			})
		}
		r.mustRelease("0")
		pass(time.Second)
		r.wantStatus(OK)
	})
}

// While EC2 does not say what it did the address stays out of the pool, and
// it is asked until it does.
func TestLostUnassignWithoutDescribe(t *testing.T) {
	for _, applied := range []bool{true, false} {
		t.Run(fmt.Sprintf("applied %t", applied), func(t *testing.T) {
			inBubble(t, config.Config{WarmIP: 1}, func(t *testing.T, r *rig) {
				r.surplus()
				r.ec2.set(func() {
					if r.ec2.lost["Unassign"] = applied; !applied {
						r.ec2.faults["Unassign"] = []error{errLost}
					}
					r.ec2.broken["Describe"] = eni.ErrThrottled
				})
				r.untilCalled("Unassign")
				pass(time.Minute)
				r.wantCounts("1/0/0/1")
				r.wantStatus(Limited, "EC2 throttles the call", "tries again by itself")
				if n := len(r.ec2.times("Describe")); n < 4 || n > 12 {
					t.Errorf("EC2 was asked %d times in a minute", n)
				}
				// Growing does not wait for Describe for ever.
				r.mustAssign("b")
				pass(2 * time.Minute)
				r.wantCounts("1/1/0/1")
				r.ec2.set(func() { delete(r.ec2.broken, "Describe") })
				pass(3 * time.Minute)
				r.wantCounts("1/1/0/1")
				if n := r.ec2.has("eni-0"); n != 2 {
					t.Errorf("EC2 has %d addresses on the ENI; the pool knows 2", n)
				}
				r.wantStatus(OK)
			})
		})
	}
}

// EC2 is not asked while an action runs: its answer would be older than the
// action and bring back what that takes away.
func TestLookWaitsForActions(t *testing.T) {
	inBubble(t, config.Config{WarmIP: 1}, func(t *testing.T, r *rig) {
		r.start()
		for i := range 5 {
			r.mustAssign(fmt.Sprint(i))
		}
		pass(2 * time.Minute) // an ENI that is younger would not be removed
		for i := range 5 {
			r.mustRelease(fmt.Sprint(i))
		}
		r.ec2.set(func() {
			r.ec2.faults["Unassign"] = []error{errors.New("boom")}
			r.ec2.slow["Detach"] = 20 * time.Second
		})
		r.untilCalled("Detach")
		pass(10 * time.Second)
		if n := len(r.ec2.times("Unassign")); n != 1 {
			t.Fatalf("%d Unassign beside the Detach; the test has lost its point", n)
		}
		if n := len(r.ec2.times("Describe")); n != 1 {
			t.Errorf("EC2 was asked while an ENI was being detached: %s", r.counts())
		}
		pass(15 * time.Second)
		if n := len(r.ec2.times("Describe")); n != 2 {
			t.Errorf("EC2 was asked %d times, want once at start and once after the Detach", n)
		}
		pass(2 * time.Minute)
		r.wantCounts("1/0/0/1")
	})
}

// A limit that Describe does not explain is a failure like any other.
func TestUnexplainedAddressLimit(t *testing.T) {
	inBubble(t, config.Config{WarmIP: 1, MaxENI: 1}, func(t *testing.T, r *rig) {
		r.ec2.broken["Assign"] = eni.ErrAddressLimit
		r.start()
		pass(10 * time.Minute)
		if n := len(r.ec2.times("Assign")); n < 8 || n > 30 {
			t.Errorf("%d calls in 10 minutes, want about one a minute", n)
		}
		r.wantStatus(Unavailable, "growing fails", "address limit is reached")
		r.ec2.set(func() { delete(r.ec2.broken, "Assign") })
		pass(2 * time.Minute)
		r.wantCounts("1/0/0/1")
		r.wantStatus(OK)
	})
}

// Addresses that nobody knew of fill the ENI: they explain the limit.
func TestExplainedAddressLimit(t *testing.T) {
	inBubble(t, config.Config{WarmIP: 6}, func(t *testing.T, r *rig) {
		r.start()
		r.wantCounts("2/0/0/6")
		r.ec2.set(func() {
			e := r.ec2.enis["eni-1"]
			e.Addresses = append(e.Addresses, r.ec2.addresses(2)...)
		})
		r.mustAssign("a")
		pass(2 * time.Second)
		r.wantCounts("2/1/0/7")
		r.wantStatus(OK)
		if r.failures() != 0 {
			t.Error("the limit that was explained counts as a failure")
		}
	})
}
