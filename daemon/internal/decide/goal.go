package decide

import (
	"math"

	"github.com/vpcchain/vpcchain/daemon/internal/pool"
)

// count is what the pool has, with what is in flight. Used addresses are of
// either kind, since a pod keeps what it has when the mode changes; the others
// are of the mode's own.
type count struct {
	used, resting, free int
	blocks              int // wholly free prefixes
}

func (c count) total() int { return c.used + c.resting + c.free }

// own tells whether an address counts in this mode.
func (in Input) own(e pool.ENI, a pool.Address) bool {
	return in.ownKind(e, a.Prefix.IsValid())
}

func (in Input) ownKind(e pool.ENI, block bool) bool {
	_, fragmented := in.Fragmented[e.SubnetID]
	return block == in.Prefixes || in.Prefixes && fragmented
}

func (in Input) count() count {
	var c count
	for _, e := range in.Pool.ENIs {
		one := in.countOf(e)
		c.used, c.resting, c.free, c.blocks = c.used+one.used, c.resting+one.resting, c.free+one.free, c.blocks+one.blocks
	}
	for _, a := range in.InFlight {
		c.free += a.gives()
		c.blocks += a.Prefixes
	}
	return c
}

func (in Input) countOf(e pool.ENI) count {
	var c count
	for _, a := range e.Slots {
		switch own := in.own(e, a); {
		case a.State == pool.Used:
			c.used++
		case own && a.State == pool.Cooling:
			c.resting++
		case own && a.State == pool.Free:
			c.free++
		}
	}
	for _, b := range e.Blocks() {
		if in.Prefixes && b.Whole() {
			c.blocks++
		}
	}
	return c
}

func (in Input) perIP() bool { return in.Targets.WarmIP > 0 || in.Targets.MinimumIP > 0 }

// Goal is how many addresses the pool should have now.
func Goal(in Input) int { return in.goal(in.count()) }

// MaxENIs is how many ENIs the instance may have, the primary one included.
func (in Input) MaxENIs() int { return in.maxENI() }

// MaxAddresses is how many addresses for pods the instance carries in this mode.
func (in Input) MaxAddresses() int {
	n := in.maxENI() * in.Limits.Secondary()
	if in.Prefixes {
		n *= perPrefix
	}
	return min(n, in.maxPods())
}

// maxENI is how many ENIs the instance may have, the primary one included.
func (in Input) maxENI() int {
	if in.Targets.MaxENI > 0 {
		return min(in.Targets.MaxENI, in.Limits.ENIs)
	}
	return in.Limits.ENIs
}

func (in Input) maxPods() int {
	if in.Targets.MaxPods > 0 {
		return in.Targets.MaxPods
	}
	return math.MaxInt32
}

// goal is how many addresses the pool should have.
func (in Input) goal(c count) int { return in.wish(c).Addresses }

// need is what is missing: so many addresses, or so many prefixes.
type need struct {
	addrs, blocks int
	room          int // addresses up to the maximum of pods
}

func (in Input) need(c count) need {
	n := need{addrs: in.goal(c) - c.total(), room: in.maxPods() - c.total()}
	n.blocks = prefixesFor(n.addrs)
	if !in.perIP() && !in.Cordoned && n.addrs > 0 {
		// WARM_PREFIX_TARGET wants wholly free ones, not as many addresses.
		n.blocks = min(max(n.blocks, in.Targets.WarmPrefix-c.blocks), prefixesFor(n.room))
	}
	return n
}

func prefixesFor(addrs int) int { return max(addrs+perPrefix-1, 0) / perPrefix }

// surplus is what may go back: so many addresses, among them so many prefixes.
type surplus struct{ addrs, blocks int }

func (in Input) surplus(c count) surplus {
	s := surplus{addrs: c.total() - in.goal(c)}
	s.blocks = s.addrs / perPrefix
	if !in.perIP() {
		// Wholly free prefixes are the target; beyond the maximum of pods none is.
		s.blocks = min(s.blocks, max(c.blocks-in.Targets.WarmPrefix, (c.total()-in.maxPods())/perPrefix, 0))
	}
	return s
}

// take uses up addresses of the surplus, among them those of prefixes.
func (s *surplus) take(addrs, blocks int) {
	s.addrs -= addrs
	s.blocks = min(s.blocks-blocks, s.addrs/perPrefix)
}
