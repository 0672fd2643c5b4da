package trunking_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/integration/vpcsim/ec2"
	"github.com/vpcchain/vpcchain/integration/vpcsim/topology"
)

// crashAt kills the daemon at the nth EC2 call, before it is sent or after EC2
// has carried it out.
func crashAt(n int, after bool) func(string, bool) bool {
	var mu sync.Mutex
	calls := 0
	return func(_ string, sent bool) bool {
		mu.Lock()
		defer mu.Unlock()
		if !sent {
			calls++
		}
		return calls == n && sent == after
	}
}

// lifetime is a pod with groups that comes and goes on a node that had none, and
// as much time as its branch has.
func (w *world) lifetime(l *life) {
	if _, err := l.add("a", "sg-a", 20*time.Second); err == nil {
		if _, err := l.Release(att("a")); err != nil {
			w.t.Log(err) // the daemon may be dead
		}
	}
	pass(12 * time.Minute)
}

// Killed before or after any of its calls, the next daemon serves the pod on one
// trunk, and in the end nothing but the trunk is left.
func TestCrashAtAnyCall(t *testing.T) {
	env := map[string]string{"BRANCH_ENI_COOLDOWN": "5"}
	total := 0
	inVPC(t, "m5.large", env, func(w *world) {
		w.lifetime(w.start())
		total = w.calls()
	})
	if total < 12 {
		t.Fatalf("only %d calls", total)
	}
	for n := 1; n <= total; n++ {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("call %d, after %v", n, after), func(t *testing.T) {
				inVPC(t, "m5.large", env, func(w *world) {
					l := w.startUntil(crashAt(n, after))
					if l.Engine != nil && !l.isDead() {
						w.lifetime(l)
					}
					w.kill()
					l = w.start()
					pass(10 * time.Second)
					l.del("a") // its ADD failed, or its DEL did
					got := l.mustAdd("b", "sg-a")
					if e := w.branches()[got.ENI]; e.VLAN != got.VLAN || len(w.trunks()) != 1 {
						t.Errorf("b has %s, VLAN %d; EC2 has VLAN %d, %d trunks", got.ENI, got.VLAN, e.VLAN, len(w.trunks()))
					}
					l.del("b")
					pass(12 * time.Minute)
					if left := w.branches(); len(left) != 0 || len(l.View().Branches.Branches) != 0 {
						t.Errorf("left in EC2: %v; in the books: %v", left, l.View().Branches.Branches)
					}
				})
			})
		}
	}
}

// conditions are EC2 at its worst, short of refusing everything.
func conditions() topology.Conditions {
	return topology.Conditions{
		IMDSLag: topology.Duration(20 * time.Second), DetachDelay: topology.Duration(5 * time.Second), NewENIDelay: topology.Duration(4 * time.Second),
		ChangeDelay: topology.Duration(15 * time.Second), PageSize: 5,
		Throttling: &topology.Throttling{Actions: map[string]topology.Bucket{"*": {Burst: 4, PerSecond: 1}}},
	}
}

// Through throttling, lost answers, late ENIs and late answers each pod gets its
// branch in the end, and nothing is left.
func TestHardTimes(t *testing.T) {
	inVPC(t, "m5.xlarge", nil, func(w *world) {
		w.slow()
		if err := w.sim.SetConditions(conditions()); err != nil {
			t.Fatal(err)
		}
		for _, action := range []string{"CreateNetworkInterface", "AssociateTrunkInterface", "DisassociateTrunkInterface", "DeleteNetworkInterface"} {
			w.sim.Fault(ec2.Fault{Action: action, Lost: true, Count: 3})
		}
		l := w.start()
		var ids []string
		for i := range 12 {
			id, groups := fmt.Sprint("p", i), []string{"sg-a", "sg-b", "sg-a,sg-c"}[i%3]
			if _, err := l.add(id, groups, 3*time.Minute); err != nil {
				t.Error(err)
			}
			ids = append(ids, id)
			if i == 5 {
				w.kill()
				l = w.start()
			}
			if i%4 == 3 {
				w.sim.Fault(ec2.Fault{Action: "AssociateTrunkInterface", Lost: true, Count: 2})
			}
		}
		held := map[int]string{}
		for _, b := range l.View().Branches.Branches {
			if b.Holder == nil {
				continue
			}
			e := w.branches()[b.ENI]
			if other, twice := held[e.VLAN]; twice || e.VLAN != b.VLAN {
				t.Errorf("%s has VLAN %d, in EC2 %d, also of %q", b.ENI, b.VLAN, e.VLAN, other)
			}
			held[e.VLAN] = b.ENI
		}
		if len(held) != len(ids) {
			t.Errorf("%d pods have branches", len(held))
		}
		for _, id := range ids {
			l.del(id)
		}
		pass(time.Hour)
		if left := w.branches(); len(left) != 0 {
			t.Errorf("left in EC2: %v", left)
		}
	})
}
