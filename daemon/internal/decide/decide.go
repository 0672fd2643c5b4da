// Package decide says what the pool needs from EC2: a pure function from a
// snapshot and the targets to actions. The formulas are those of the stock AWS
// VPC CNI, for single addresses and for /28 prefixes, with these differences: an
// address that rests is not available; pods that wait count as demand at once;
// nothing is asked for beyond the node's maximum of pods; and in prefix mode
// single addresses stand in where a subnet has no free /28.
package decide

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/daemon/internal/pool"
)

// Targets say how much to keep. WarmIP and MinimumIP overrule the other two.
type Targets struct {
	WarmENI    int // whole spare ENIs; not in prefix mode
	WarmPrefix int // wholly free prefixes, in prefix mode
	WarmIP     int // spare addresses
	MinimumIP  int // floor of all addresses
	MaxENI     int // 0: the instance's limit alone
	MaxPods    int // addresses that the node can use; 0: whatever the instance carries
}

// Input of Decide.
type Input struct {
	Pool    pool.Snapshot
	Targets Targets
	Limits  eni.Limits
	// Prefixes is prefix mode: the pool grows by /28 prefixes, and what it has
	// of the other kind goes back when it is free.
	Prefixes bool
	// Fragmented has the subnets that had no free /28 when they were asked. In
	// prefix mode their single addresses count like those of prefixes. The value
	// tells that it is too early to ask for a prefix again.
	Fragmented map[string]bool
	Waiters    int // ADDs that wait for an address
	Demand     int // pods beside them that will
	// Cordoned is a node that gets no new pods: it grows for those that ask, and
	// keeps nothing ready.
	Cordoned bool
	Shrink   bool // the surplus has lasted long enough to give it back
	// InFlight are the actions that are being carried out.
	InFlight []Action
}

// perPrefix is how many addresses a prefix has.
const perPrefix = 1 << (32 - eni.PrefixBits)

// minAge is how long an ENI must have been there before it may go: the stock
// CNI's minimum ENI lifetime.
const minAge = time.Minute

// Kind of an action.
type Kind int

// The actions, in the order in which they are worth doing.
const (
	Assign   Kind = iota // assign more addresses or prefixes to ENI
	Create               // create and attach an ENI with addresses or prefixes
	Unassign             // give Addrs or Blocks of ENI back
	Remove               // detach and delete ENI
	Trunk                // create and attach the trunk of the branch ENIs; Decide never asks for it
)

// String is the kind's name.
func (k Kind) String() string {
	return [...]string{Assign: "assign", Create: "create", Unassign: "unassign", Remove: "remove", Trunk: "trunk"}[k]
}

// Action is one thing to do.
type Action struct {
	Kind     Kind
	ENI      string
	Count    int // single addresses
	Prefixes int // or prefixes
	// Instead is how many single addresses do if there is no free prefix.
	Instead int
	Addrs   []netip.Addr
	Blocks  []netip.Prefix
}

// String says the action in words.
func (a Action) String() string {
	what := fmt.Sprintf("%d addresses", a.Count)
	if a.Prefixes > 0 {
		what = fmt.Sprintf("%d prefixes", a.Prefixes)
	}
	switch a.Kind {
	case Assign:
		return fmt.Sprintf("assign %s to %s", what, a.ENI)
	case Create:
		return "create and attach an ENI with " + what
	case Unassign:
		if len(a.Blocks) > 0 {
			return fmt.Sprintf("unassign %v from %s", a.Blocks, a.ENI)
		}
		return fmt.Sprintf("unassign %v from %s", a.Addrs, a.ENI)
	case Trunk:
		return "create and attach the trunk ENI"
	default:
		return "detach and delete " + a.ENI
	}
}

// gives is how many addresses the action adds.
func (a Action) gives() int { return a.Count + a.Prefixes*perPrefix }

// Decide returns what to do, nothing when the pool is on target.
func Decide(in Input) []Action { return append(in.drained(), in.size()...) }

// size is what the pool's size needs.
func (in Input) size() []Action {
	c := in.count()
	if n := in.need(c); n.addrs > 0 {
		return in.grow(n)
	}
	if in.Shrink && !in.Cordoned && in.Waiters == 0 && len(in.InFlight) == 0 {
		return in.shrink(in.surplus(c))
	}
	return nil
}

// Surplus tells whether the pool has something to give back now.
func Surplus(in Input) bool {
	in.Shrink = true
	c := in.count()
	return in.need(c).addrs <= 0 && len(in.size()) > 0
}
