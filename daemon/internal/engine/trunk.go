package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/confirm"
	"github.com/vpcchain/vpcchain/daemon/internal/decide"
	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/daemon/internal/pool"
	"github.com/vpcchain/vpcchain/daemon/internal/trunking"
	"github.com/vpcchain/vpcchain/pkg/nodefacts"
)

// trunkState is what the engine knows of the trunk beside the pool.
type trunkState struct {
	backoff               // of making it
	wanted  bool          // a pod waits for one
	made    string        // id of the one that this daemon made
	missing time.Time     // since when the one of running pods is not there
	asked   time.Time     // when EC2 was last asked for the controller's
	facts   trunkSettings // in the node facts
}

// trunkSettings are what node.json says of the trunk.
type trunkSettings struct{ id, mac string }

// trunkLook is how often EC2 is asked, at most, whether the controller has
// attached a trunk for which a pod waits.
const trunkLook = 10 * time.Second

// trunkError is a failure to make the trunk, which says nothing of the pool's ENIs.
type trunkError struct{ error }

func (e *trunkError) Unwrap() error { return e.error }

// isTrunk tells whether m carries branch ENIs. IMDS does not say so; the books
// of the branches do.
func (e *Engine) isTrunk(m eni.ENI) bool {
	return m.IsTrunk() || e.branches != nil && m.Untold && m.ID == e.branches.TrunkID()
}

// findTrunk is the trunk among the pool's ENIs; the caller holds the lock.
func (e *Engine) findTrunk(now time.Time) (pool.ENI, bool) {
	for _, m := range e.pool.Snapshot(now).ENIs {
		if e.isTrunk(m.ENI) {
			return m, true
		}
	}
	return pool.ENI{}, false
}

// followTrunk tells the branches what their trunk is, and learns whether one is
// to be made; the caller holds the lock. It says whether the node facts are old.
func (e *Engine) followTrunk(now time.Time) (newFacts bool) {
	if e.branches == nil {
		return false
	}
	t := trunking.Trunk{Reason: "the node has no trunk ENI yet"}
	if e.trunk.last != nil {
		t.Reason = "making the trunk ENI fails: " + e.trunk.reason()
	}
	if m, ok := e.findTrunk(now); ok {
		l := e.links[m.ID]
		t = trunking.Trunk{ENI: m.ENI, Ready: l.Ready, MTU: l.MTU, Made: m.ID == e.trunk.made}
		if t.MTU == 0 {
			t.MTU = e.Config.ENIMTU
		}
		if !t.Ready {
			t.Reason = fmt.Sprintf("the trunk ENI %s is not ready: %s", m.ID, l.Reason)
		}
	}
	need := e.branches.SetTrunk(t)
	e.trunk.wanted = need.Make
	if need.Look && now.Sub(e.trunk.asked) >= trunkLook {
		e.trunk.asked, e.look.stale = now, true
	}
	switch {
	case t.ID != "" || e.branches.TrunkID() == "":
		e.trunk.missing = time.Time{}
	case e.trunk.missing.IsZero():
		// One answer without it is not reason enough to make another one.
		e.trunk.missing, e.look.again = now, now.Add(confirm.After)
	}
	return e.trunk.facts != trunkSettings{t.ID, t.MAC}
}

// trunkFacts is the trunk for the node facts; the caller holds the lock.
func (e *Engine) trunkFacts() (*nodefacts.Trunk, string) {
	if e.branches == nil {
		return nil, ""
	}
	m, ok := e.findTrunk(time.Now())
	if e.trunk.facts = (trunkSettings{m.ID, m.MAC}); !ok {
		return nil, e.Config.Enforcing
	}
	return &nodefacts.Trunk{ENI: m.ID, MAC: m.MAC}, e.Config.Enforcing
}

// reserveTrunk keeps an ENI of the instance for the trunk while it is not there,
// as the stock daemon does; the caller holds the lock.
func (e *Engine) reserveTrunk(in *decide.Input, now time.Time) {
	if e.branches == nil || e.limits.Branches == 0 {
		return
	}
	if _, there := e.findTrunk(now); there {
		return
	}
	in.Limits.ENIs = in.Limits.ENIs - 1
	if in.Targets.MaxENI > 0 {
		in.Targets.MaxENI = max(in.Targets.MaxENI-1, 1)
	}
}

// wantTrunk is the action that makes the trunk, if it is time for it; the caller
// holds the lock.
func (e *Engine) wantTrunk(now time.Time) []decide.Action {
	if e.branches == nil || !e.trunk.wanted || e.trunk.until.After(now) || e.look.due(now) || e.look.running {
		return nil
	}
	if !e.trunk.missing.IsZero() && now.Sub(e.trunk.missing) < confirm.After {
		return nil
	}
	for _, a := range e.inFlight {
		if a.Kind == decide.Trunk {
			return nil
		}
	}
	return []decide.Action{{Kind: decide.Trunk}}
}

// makeTrunk makes the trunk ENI and attaches it at the highest free device index,
// as the VPC resource controller does. It carries no address of a pod.
func (e *Engine) makeTrunk(ctx context.Context) error {
	node := branchNode{e}
	place, err := node.BranchPlace(ctx)
	if err != nil {
		return &trunkError{err}
	}
	device, err := e.takeLastDevice()
	if err != nil {
		return &trunkError{err}
	}
	defer e.giveDevice(device)
	if len(place.Groups) == 0 {
		place.Groups = e.whoAmI().Groups
	}
	made, err := e.intents.Make(ctx, eni.CreateSpec{
		SubnetID: place.SubnetID, Groups: place.Groups, Description: "aws-K8S-trunk-" + e.node.InstanceID, Tags: e.tags(time.Now()), Type: eni.TypeTrunk,
	}, 0, device)
	if err != nil {
		return &trunkError{err}
	}
	made.Type = eni.TypeTrunk
	e.mu.Lock()
	defer e.mu.Unlock()
	e.trunk.succeeded()
	e.trunk.made = made.ID
	e.pool.AddENI(made, time.Now())
	return nil
}

// takeLastDevice reserves the highest device index that no ENI has or will have.
func (e *Engine) takeLastDevice() (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := e.pool.Snapshot(time.Now()).ENIs
	limit := e.limitsNow().ENIs
	if e.Config.MaxENI > 0 {
		limit = min(limit, e.Config.MaxENI)
	}
	if len(all) >= limit {
		return 0, fmt.Errorf("%d ENIs are all that the instance may have (or MAX_ENI), and none of them is a trunk: move pods to another node until one is given back", len(all))
	}
	used := map[int]bool{}
	for _, m := range all {
		used[m.Device] = true
	}
	for device := e.limits.ENIs - 1; device > 0; device-- {
		if !used[device] && !e.devices[device] && !e.intents.Takes(0, device) {
			e.devices[device] = true
			return device, nil
		}
	}
	return 0, fmt.Errorf("no device index is free for the trunk ENI: %w", eni.ErrENILimit)
}
