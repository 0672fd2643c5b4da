package engine

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/decide"
	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/daemon/internal/pool"
	"github.com/vpcchain/vpcchain/daemon/internal/trunking"
)

// Gauges are the figures of the node at one moment.
type Gauges struct {
	Pool     pool.Snapshot
	Wanted   int // addresses that the targets want now
	MaxENIs  int // by the instance's type and MAX_ENI
	MaxAddrs int // that so many ENIs carry for pods, by the type, the mode and MAX_PODS
	Waiters  int
	Demand   int // pods on their way here that have not asked yet
	// Actions of the loop that are being carried out, by their kind's name.
	Actions map[string]int
	// FullSubnets had no room when an ENI or an address was last wanted there;
	// AnySubnet is among them when none has that may be used.
	FullSubnets []string
	Failures    int // attempts to grow or to look that failed in a row; of the worst
	Branches    *trunking.View
	Rounds      uint64
	LastRound   time.Time // when the loop ended one; zero: never
	Tally       Tally
}

// Tally counts what happened since the daemon started.
type Tally struct {
	NoAddress uint64 // ADDs that ended without an address of the pool
	Orphans   uint64 // attachments released because their pod was gone
	Heals     map[string]uint64
	Actions   map[Ended]uint64
}

// Ended is how an action of the loop ended.
type Ended struct {
	Action string
	Failed bool
}

func newTally() Tally { return Tally{Heals: map[string]uint64{}, Actions: map[Ended]uint64{}} }

// Gauges copies the figures. Its hold of the lock is that of View.
func (e *Engine) Gauges() Gauges {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	in := e.input(now)
	g := Gauges{
		Pool: in.Pool, Wanted: decide.Goal(in), MaxENIs: in.MaxENIs(), MaxAddrs: in.MaxAddresses(), Waiters: len(e.waiters), Demand: in.Demand,
		Actions: map[string]int{}, FullSubnets: e.places.full(), Failures: max(e.backoff.failures, e.look.failures, e.groups.failures),
		Rounds: e.pulse.rounds.Load(), Tally: e.tally,
	}
	g.Tally.Heals, g.Tally.Actions = maps.Clone(e.tally.Heals), maps.Clone(e.tally.Actions)
	for _, a := range e.inFlight {
		g.Actions[a.Kind.String()]++
	}
	if at := e.pulse.at.Load(); at != nil {
		g.LastRound = *at
	}
	if e.branches != nil {
		v := e.branches.View()
		g.Branches = &v
	}
	return g
}

// AnySubnet stands for all subnets that may be used.
const AnySubnet = "any"

// full are the subnets without room.
func (p places) full() []string {
	var out []string
	for subnet, b := range p {
		if isA(b.last, eni.ErrSubnetFull) {
			out = append(out, cmp.Or(subnet, AnySubnet))
		}
	}
	slices.Sort(out)
	return out
}
