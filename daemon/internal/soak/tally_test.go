package soak

import (
	"fmt"
	"sync"

	"github.com/vpcchain/vpcchain/integration/vpcsim/ec2"
)

// tally is what schedules consisted of: a run in which nothing happened proves nothing.
type tally struct {
	mu                                      sync.Mutex
	schedules, adds, failed, kills, ok, bad int
	violations, losses, detached            int
}

func (w *world) count(f func(*tally)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f(&w.tally)
}

// disturbed counts the EC2 calls that went well and those that did not.
func (w *world) disturbed() {
	for _, c := range w.sim.Calls() {
		if c.Outcome == ec2.OK {
			w.tally.ok += c.Count
		} else {
			w.tally.bad += c.Count
		}
	}
	for _, e := range w.events {
		if e.what == kill {
			w.tally.kills++
		}
	}
}

func (t *tally) add(w *world) {
	t.mu.Lock()
	defer t.mu.Unlock()
	o := &w.tally
	t.schedules, t.adds, t.failed, t.kills = t.schedules+o.schedules, t.adds+o.adds, t.failed+o.failed, t.kills+o.kills
	t.ok, t.bad, t.violations = t.ok+o.ok, t.bad+o.bad, t.violations+len(w.wrong)
	t.losses, t.detached = t.losses+o.losses, t.detached+o.detached
}

func (t *tally) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return fmt.Sprintf("%d schedules: %d ADDs served, %d in vain, %d kills, %d losses of the state, %d ENIs detached by others, %d EC2 calls, %d more refused or lost, %d violations",
		t.schedules, t.adds, t.failed, t.kills, t.losses, t.detached, t.ok, t.bad, t.violations)
}
