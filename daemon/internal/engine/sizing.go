package engine

import (
	"context"
	"net/netip"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/decide"
	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// blockRetry is how long a subnet without a free /28 is not asked for another.
// After it the next growth asks; while the pool has what it needs nobody does.
const blockRetry = 5 * time.Minute

// sizing is what the size of the pool goes by, beside the settings.
type sizing struct {
	prefixes   bool                 // prefix mode, and the instance can
	fragmented map[string]time.Time // subnets without a free /28, and when they were asked
	patience   *decide.Patience
	burst      gathering
}

// measure sets the sizing for what the instance is; the caller holds the lock.
func (e *Engine) measure() {
	e.sizing = sizing{
		prefixes: e.Config.Prefixes && e.limits.Prefixes(), fragmented: map[string]time.Time{}, patience: decide.NewPatience(e.node.InstanceID),
	}
	if e.sizing.prefixes {
		e.pool.PreferPrefixes()
	} else if e.Config.Prefixes {
		e.Log.Warn("ENABLE_PREFIX_DELEGATION is without effect: EC2 delegates prefixes to Nitro instances and bare metal only; single addresses are used",
			"type", e.node.InstanceType, "hypervisor", e.limits.Hypervisor)
	}
}

// input is what package decide goes by; the caller holds the lock.
func (e *Engine) input(now time.Time) decide.Input {
	in := decide.Input{
		Pool: e.pool.Snapshot(now), Targets: e.targets(), Limits: e.limitsNow(), Waiters: len(e.waiters),
		Demand: e.demand(), Cordoned: e.cordoned(), Prefixes: e.sizing.prefixes, Fragmented: map[string]bool{},
	}
	for subnet := range e.sizing.fragmented {
		in.Fragmented[subnet] = e.sizing.tooEarly(subnet, now)
	}
	for _, a := range e.inFlight {
		in.InFlight = append(in.InFlight, a)
	}
	e.reserveTrunk(&in, now)
	return in
}

// tooEarly tells that the subnet had no free /28 a short while ago.
func (s *sizing) tooEarly(subnet string, now time.Time) bool {
	at, ok := s.fragmented[subnet]
	return ok && now.Sub(at) < blockRetry
}

func (e *Engine) targets() decide.Targets {
	c := e.Config
	return decide.Targets{
		WarmENI: c.WarmENI, WarmPrefix: c.WarmPrefix, WarmIP: c.WarmIP, MinimumIP: c.MinimumIP, MaxENI: c.MaxENI, MaxPods: c.MaxPods,
	}
}

// assignPrefixes asks for prefixes, and where the subnet has none for single
// addresses on the same ENI.
func (e *Engine) assignPrefixes(ctx context.Context, a decide.Action) error {
	prefixes, err := e.Addresses.AssignPrefixes(ctx, a.ENI, a.Prefixes)
	if isA(err, eni.ErrSubnetFull) && a.Prefixes > 1 {
		prefixes, err = e.Addresses.AssignPrefixes(ctx, a.ENI, 1)
	}
	e.mu.Lock()
	m, _ := e.pool.ENI(a.ENI)
	if err == nil {
		e.places.succeeded(m.SubnetID)
		delete(e.sizing.fragmented, m.SubnetID)
		e.pool.AddPrefixes(a.ENI, prefixes)
	}
	e.mu.Unlock()
	if !isA(err, eni.ErrSubnetFull) {
		return err
	}
	e.noBlock(m.SubnetID, err)
	if a.Instead == 0 {
		return nil
	}
	return e.assignTo(ctx, decide.Action{Kind: decide.Assign, ENI: a.ENI, Count: a.Instead})
}

// noBlock remembers that a subnet has no free /28.
func (e *Engine) noBlock(subnet string, err error) {
	e.mu.Lock()
	_, known := e.sizing.fragmented[subnet]
	e.sizing.fragmented[subnet] = time.Now()
	e.mu.Unlock()
	if !known {
		e.Log.Warn("the subnet has no free /28: single addresses instead; reserve a block of it for prefixes (EC2 subnet CIDR reservation)",
			"subnet", subnet, "error", err)
	}
}

// contents are what a new ENI at the place is to have: prefixes, or addresses.
func (e *Engine) contents(p eni.Placement, a decide.Action) (addrs, prefixes int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if a.Prefixes == 0 {
		return room(p, a.Count), 0
	}
	n := a.Prefixes
	if p.Free > 0 {
		n = min(n, (p.Free-1)>>(32-eni.PrefixBits))
	}
	if n <= 0 || e.sizing.tooEarly(p.SubnetID, time.Now()) {
		return room(p, a.Instead), 0
	}
	return 0, n
}

// unassignPrefixes gives prefixes back, as unassign does addresses.
func (e *Engine) unassignPrefixes(ctx context.Context, a decide.Action) error {
	e.mu.Lock()
	prefixes := e.pool.TakePrefixes(a.ENI, a.Blocks, time.Now())
	e.mu.Unlock()
	if len(prefixes) == 0 {
		return nil
	}
	return e.Addresses.UnassignPrefixes(ctx, a.ENI, prefixes)
}

// source is what the routing rule of an address on the ENI names: the delegated
// prefix that it is of, or itself.
func source(m eni.ENI, a netip.Addr) netip.Prefix {
	for _, b := range m.Prefixes {
		if b.Contains(a) {
			return b
		}
	}
	return vpcnet.Host(a)
}
