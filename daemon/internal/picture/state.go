package picture

import "github.com/vpcchain/vpcchain/daemon/internal/pool"

// State is what a slot is drawn as.
type State int

// The states. Free and NotReady are one state of the pool, free; Empty is none.
const (
	Used State = iota
	Free
	NotReady
	Cooling
	Withheld
	Reserved
	Lost
	Empty
	states // how many there are
)

// look is how a state is drawn and called.
type look struct {
	class literal
	name  string
	hint  string
	shape literal // beside the square that every slot has
}

// mark is an exclamation mark: of a state, and of an address of a pod that is in doubt.
const mark literal = `<path d="M9 4v5.5M9 13.4v.2"/>`

// looks has the shapes in a box of 18 by 18. They differ without their colours.
func looks() [states]look {
	return [states]look{
		Used:     {"used", "used", "a pod has it", ``},
		Free:     {"free", "free", "warm: the next pod gets one", `<circle cx="9" cy="9" r="4"/>`},
		NotReady: {"wait", "not ready", "free, but its ENI cannot carry a pod yet", `<circle cx="9" cy="9" r="4"/>`},
		Cooling:  {"cool", "cooling", "rests after use", `<path d="M4 6h10M4 9h10M4 12h10"/>`},
		Withheld: {"held", "withheld", "quarantined: in doubt, nobody gets it", mark},
		Reserved: {"rsvd", "reserved", "no pod gets an address of this ENI", `<path d="M4 14L14 4"/>`},
		Lost:     {"lost", "lost", "a pod has it, and no ENI does", `<path d="M5 5l8 8M13 5l-8 8"/>`},
		Empty:    {"none", "unassigned", "room for an address that EC2 has not assigned", ``},
	}
}

// stateOf is the state of an address of an ENI.
func stateOf(a pool.Address, e pool.ENI) State {
	switch a.State {
	case pool.Used:
		return Used
	case pool.Cooling:
		return Cooling
	case pool.Withheld:
		return Withheld
	case pool.Reserved:
		return Reserved
	}
	if !e.Ready {
		return NotReady
	}
	return Free
}
