package engine

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/decide"
	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/daemon/internal/pool"
)

// Bearings are who the node is, how much its pool is to have, and what the loop
// waits for.
type Bearings struct {
	Node      eni.Node
	Limits    eni.Limits // of the instance's type
	Targets   decide.Targets
	Prefixes  bool // the pool grows by prefixes
	Custom    bool // no pod on the primary ENI
	PodENI    bool
	Enforcing string // mode of branch ENIs
	Cordoned  bool
	Wish      decide.Wish
	// Hold is why the loop does not do more than its plan says just now, and Lasts
	// how long at most; 0 is not known.
	Hold  string
	Lasts time.Duration
	Status
}

// Bearings copies them.
func (e *Engine) Bearings() Bearings {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	in := e.input(now)
	b := Bearings{
		Node: e.node, Limits: e.limits, Targets: e.targets(), Prefixes: in.Prefixes, Custom: e.Config.CustomNet, PodENI: e.branches != nil,
		Cordoned: in.Cordoned, Wish: decide.Wanted(in), Status: e.Status(),
	}
	if b.PodENI {
		b.Enforcing = e.Config.Enforcing
	}
	b.Hold, b.Lasts = e.hold(b, now)
	return b
}

// hold is what decide and start wait for, in their order; the caller holds the lock.
func (e *Engine) hold(b Bearings, now time.Time) (why string, lasts time.Duration) {
	short := b.Wish.Addresses - b.Wish.Has
	switch {
	case e.look.running || e.look.due(now):
		return "EC2 is asked what the ENIs have, before anything is changed", 0
	case e.look.stale:
		return "EC2 is asked again what the ENIs have: " + e.look.reason(), e.look.until.Sub(now)
	case e.backoff.until.After(now) && e.backoff.last != nil:
		return "EC2 is tried again: " + e.backoff.reason(), e.backoff.until.Sub(now)
	case e.sizing.burst.until(now) > 0:
		return "more ADDs of the same burst are awaited", e.sizing.burst.until(now)
	}
	if e.sparing.until.After(now) {
		return "EC2 has refused calls for their rate: it is asked for what pods wait for, and for nothing ready", e.sparing.until.Sub(now)
	}
	for _, subnet := range slices.Sorted(maps.Keys(e.places)) {
		if p := e.places[subnet]; p.until.After(now) && p.last != nil {
			return "a subnet is tried again: " + p.reason(), p.until.Sub(now)
		}
	}
	switch ends := e.sizing.patience.Ends(); {
	case ends.After(now):
		return fmt.Sprintf("%d addresses more than wanted are given back when that has lasted", -short), ends.Sub(now)
	case short > 0 && len(e.plan) == 0:
		return fmt.Sprintf("%d addresses short: %s may have no more (or MAX_ENI, or MAX_PODS, or ENIs that no pod may use)", short, e.node.InstanceType), 0
	}
	return "", 0
}

// HostVeth is the name of the host's end of the attachment that h is of.
func (e *Engine) HostVeth(h pool.Allocation) string { return e.hostVeth(h) }
