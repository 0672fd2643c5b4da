package pool

import (
	"net/netip"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
)

// State of an address.
type State int

// An address is free, used by an attachment, cooling after use, or reserved: on
// an ENI that carries no pods.
const (
	Free State = iota
	Used
	Cooling
	Reserved
	Withheld // free, but see Pool.Withhold
)

// Address is one address of a snapshot.
type Address struct {
	Addr   netip.Addr
	Prefix netip.Prefix // that it is of; the zero one: EC2 assigned it by itself
	State  State
	Holder *Allocation // of a used one
	Freed  time.Time   // when it was last released; zero: not since it was assigned
	Note   string      // why it is in doubt
}

// ENI is an ENI of a snapshot.
type ENI struct {
	eni.ENI
	Slots []Address // single addresses first, then those of each prefix
	// Reserved: no pod goes here.
	Reserved bool
	// Draining: no new pod goes here, and it goes when it has none left.
	Draining bool
	// Full: its subnet has no address to spare for now. The pool does not know
	// such things; who decides on a snapshot fills it in.
	Full   bool
	Ready  bool
	Reason string
	Age    time.Duration
}

// Count is how many addresses of the ENI are in the state.
func (e ENI) Count(s State) int {
	n := 0
	for _, a := range e.Slots {
		if a.State == s {
			n++
		}
	}
	return n
}

// Block is a delegated prefix of a snapshot.
type Block struct {
	Prefix              netip.Prefix
	Used, Cooling, Free int // addresses; of an ENI that carries no pods none is free
}

// Whole tells whether every address of the prefix is free: it can go back.
func (b Block) Whole() bool { return b.Free == 1<<(b.Prefix.Addr().BitLen()-b.Prefix.Bits()) }

// Blocks counts the addresses of the ENI's prefixes, in EC2's order.
func (e ENI) Blocks() []Block {
	var out []Block
	for _, a := range e.Slots {
		if !a.Prefix.IsValid() {
			continue
		}
		if n := len(out); n == 0 || out[n-1].Prefix != a.Prefix {
			out = append(out, Block{Prefix: a.Prefix})
		}
		b := &out[len(out)-1]
		switch a.State {
		case Used:
			b.Used++
		case Cooling:
			b.Cooling++
		case Free:
			b.Free++
		case Reserved:
		}
	}
	return out
}

// Snapshot is the pool at one moment, for deciding and for showing.
type Snapshot struct {
	ENIs []ENI // the primary one first
	// Lost are allocations whose address no ENI has any more.
	Lost []Allocation
}

// Total is how many addresses the ENIs have, primary ones not counted.
func (s Snapshot) Total() int { return s.Count(Free) + s.Count(Used) + s.Count(Cooling) }

// Count is how many addresses are in the state.
func (s Snapshot) Count(st State) int {
	n := 0
	for _, e := range s.ENIs {
		n += e.Count(st)
	}
	return n
}

// Snapshot copies the state.
func (p *Pool) Snapshot(now time.Time) Snapshot {
	var s Snapshot
	seen := map[netip.Addr]bool{}
	for _, m := range p.ordered() {
		e := ENI{ENI: m.ENI, Ready: m.ready, Reason: m.reason, Age: now.Sub(m.since), Reserved: p.reserves(m.ENI), Draining: p.drains(m.ENI)}
		if why := p.leaves(m.ENI); why != "" {
			e.Reason = "left alone: " + why
		}
		for a, b := range addresses(m.ENI) {
			seen[a] = true
			slot := Address{Addr: a, Prefix: b, Freed: p.freed[a], Note: p.doubt(a)}
			switch h := p.byAddr[a]; {
			case h != nil:
				holder := *h
				slot.State, slot.Holder = Used, &holder
			case e.Reserved:
				slot.State = Reserved
			case slot.Note != "":
				slot.State = Withheld
			case !p.available(a, now):
				slot.State = Cooling
			case e.Draining:
				slot.State = Reserved
			}
			e.Slots = append(e.Slots, slot)
		}
		s.ENIs = append(s.ENIs, e)
	}
	for a, h := range p.byAddr {
		if !seen[a] {
			s.Lost = append(s.Lost, *h)
		}
	}
	return s
}
