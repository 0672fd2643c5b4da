// Package decide says what the pool needs from EC2: a pure function from a
// snapshot and the targets to actions. The formulas are those of the stock AWS
// VPC CNI in secondary-IP mode, with two differences: an address that rests is
// not available, and pods that wait count as demand at once.
package decide

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/daemon/internal/pool"
)

// Targets say how much to keep. WarmIP and MinimumIP overrule WarmENI.
type Targets struct {
	WarmENI   int // whole spare ENIs
	WarmIP    int // spare addresses
	MinimumIP int // floor of all addresses
	MaxENI    int // 0: the instance's limit alone
}

// Input of Decide.
type Input struct {
	Pool    pool.Snapshot
	Targets Targets
	Limits  eni.Limits
	Waiters int  // ADDs that wait for an address
	Shrink  bool // the surplus has lasted long enough to give it back
	// InFlight are the Assign and Create actions that are being carried out.
	InFlight []Action
}

// minAge is how long an ENI must have been there before it may go: the stock
// CNI's minimum ENI lifetime.
const minAge = time.Minute

// Kind of an action.
type Kind int

// The actions, in the order in which they are worth doing.
const (
	Assign   Kind = iota // assign Count more addresses to ENI
	Create               // create and attach an ENI with Count addresses
	Unassign             // give Addrs of ENI back
	Remove               // detach and delete ENI
)

// Action is one thing to do.
type Action struct {
	Kind  Kind
	ENI   string
	Count int
	Addrs []netip.Addr
}

// String says the action in words.
func (a Action) String() string {
	switch a.Kind {
	case Assign:
		return fmt.Sprintf("assign %d addresses to %s", a.Count, a.ENI)
	case Create:
		return fmt.Sprintf("create and attach an ENI with %d addresses", a.Count)
	case Unassign:
		return fmt.Sprintf("unassign %v from %s", a.Addrs, a.ENI)
	default:
		return fmt.Sprintf("detach and delete %s", a.ENI)
	}
}

// Decide returns what to do, nothing when the pool is on target.
func Decide(in Input) []Action {
	if short := in.short(); short > 0 {
		return in.grow(short)
	}
	if in.Shrink && in.Waiters == 0 && len(in.InFlight) == 0 {
		return in.shrink()
	}
	return nil
}

func (in Input) perIP() bool { return in.Targets.WarmIP > 0 || in.Targets.MinimumIP > 0 }

// maxENI is how many ENIs the instance may have, the primary one included.
func (in Input) maxENI() int {
	if in.Targets.MaxENI > 0 {
		return min(in.Targets.MaxENI, in.Limits.ENIs)
	}
	return in.Limits.ENIs
}

// short is how many addresses are missing.
func (in Input) short() int {
	available := in.Pool.Count(pool.Free)
	if in.perIP() {
		return max(in.Targets.WarmIP+in.Waiters-available, in.Targets.MinimumIP-in.Pool.Total(), 0)
	}
	return max(in.Targets.WarmENI*in.Limits.Secondary()+in.Waiters-available, in.idleFloor(available), 0)
}

// idleFloor keeps one address with WARM_ENI_TARGET=0, as the stock CNI does.
func (in Input) idleFloor(available int) int {
	if available == 0 {
		return 1
	}
	return 0
}

// grow fills the ENIs that exist, then makes new ones. What is in flight counts
// as done: a burst of pods asks for the whole of what it needs at once, once.
func (in Input) grow(short int) []Action {
	var out []Action
	per, busy := in.Limits.Secondary(), map[string]int{}
	slots := in.maxENI() - len(in.Pool.ENIs)
	for _, a := range in.InFlight {
		short -= a.Count
		busy[a.ENI] += a.Count
		if a.Kind == Create {
			slots--
		}
	}
	unit := func(room int) int {
		if in.perIP() {
			return min(room, short)
		}
		return room // a whole ENI is the unit of WARM_ENI_TARGET
	}
	for _, e := range in.Pool.ENIs {
		if room := per - len(e.Slots) - busy[e.ID]; short > 0 && room > 0 && !e.Reserved && !e.Full {
			n := unit(room)
			out = append(out, Action{Kind: Assign, ENI: e.ID, Count: n})
			short -= n
		}
	}
	for ; short > 0 && slots > 0 && per > 0; slots-- {
		n := unit(per)
		out = append(out, Action{Kind: Create, Count: n})
		short -= n
	}
	return out
}

// shrink gives the surplus back: whole ENIs that nobody uses, then single addresses.
func (in Input) shrink() []Action {
	available, total := in.Pool.Count(pool.Free), in.Pool.Total()
	over := func() int {
		if in.perIP() {
			return max(min(available-in.Targets.WarmIP, total-in.Targets.MinimumIP), 0)
		}
		return max(available-max(in.Targets.WarmENI*in.Limits.Secondary(), 1), 0)
	}
	var out []Action
	// The ENI with the fewest pods first, the later device first among equals.
	byUse := slices.SortedFunc(slices.Values(in.Pool.ENIs), func(a, b pool.ENI) int {
		return cmp.Or(cmp.Compare(a.Count(pool.Used), b.Count(pool.Used)), cmp.Compare(b.Device, a.Device))
	})
	gone := map[string]bool{}
	for _, e := range byUse {
		free := e.Count(pool.Free)
		if e.IsPrimary() || e.Reserved || e.Age < minAge || free != len(e.Slots) || free > over() {
			continue
		}
		out = append(out, Action{Kind: Remove, ENI: e.ID})
		available, total, gone[e.ID] = available-free, total-free, true
	}
	if !in.perIP() {
		return out
	}
	for _, e := range byUse {
		if gone[e.ID] {
			continue
		}
		var addrs []netip.Addr
		for _, a := range slices.Backward(e.Slots) {
			if a.State == pool.Free && len(addrs) < over() {
				addrs = append(addrs, a.Addr)
			}
		}
		if len(addrs) > 0 {
			out = append(out, Action{Kind: Unassign, ENI: e.ID, Addrs: addrs})
			available, total = available-len(addrs), total-len(addrs)
		}
	}
	return out
}
