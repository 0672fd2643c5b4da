package decide

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/vpcchain/vpcchain/daemon/internal/pool"
)

// shrink gives the surplus back: whole ENIs that nobody uses, then prefixes and
// single addresses. What is free of the other mode is surplus in any case.
func (in Input) shrink(s surplus) []Action {
	var out []Action
	// The ENI with the fewest pods first, the later device first among equals.
	byUse := slices.SortedFunc(slices.Values(in.Pool.ENIs), func(a, b pool.ENI) int {
		return cmp.Or(cmp.Compare(a.Count(pool.Used), b.Count(pool.Used)), cmp.Compare(b.Device, a.Device))
	})
	var stay []pool.ENI
	for _, e := range byUse {
		c := in.countOf(e)
		switch {
		case e.Reserved, e.Draining:
		case e.IsPrimary() || e.Count(pool.Free) != len(e.Slots) || c.free > s.addrs || c.blocks > s.blocks:
			stay = append(stay, e)
		default:
			// One that is too young to go is left whole until it is old enough.
			s.take(c.free, c.blocks)
			if e.Age >= minAge {
				out = append(out, Action{Kind: Remove, ENI: e.ID})
			}
		}
	}
	for _, e := range stay {
		addrs, blocks := in.foreign(e)
		if in.ownKind(e, false) && (in.Prefixes || in.perIP()) {
			addrs = freeSingles(e)
			addrs = addrs[:min(len(addrs), max(s.addrs, 0))]
			s.take(len(addrs), 0)
		}
		if in.ownKind(e, true) {
			blocks = wholeBlocks(e)
			blocks = blocks[:min(len(blocks), max(s.blocks, 0))]
			s.take(len(blocks)*perPrefix, len(blocks))
		}
		out = append(out, giveBack(e, addrs, blocks)...)
	}
	return out
}

// freeSingles are the ENI's free single addresses, the last one first.
func freeSingles(e pool.ENI) []pool.Address {
	var out []pool.Address
	for _, a := range slices.Backward(e.Slots) {
		if a.State == pool.Free && !a.Prefix.IsValid() {
			out = append(out, a)
		}
	}
	return out
}

// wholeBlocks are the ENI's wholly free prefixes, the last one first.
func wholeBlocks(e pool.ENI) []pool.Block {
	blocks := slices.DeleteFunc(e.Blocks(), func(b pool.Block) bool { return !b.Whole() })
	slices.Reverse(blocks)
	return blocks
}

func giveBack(e pool.ENI, addrs []pool.Address, blocks []pool.Block) []Action {
	var out []Action
	if len(addrs) > 0 {
		a := Action{Kind: Unassign, ENI: e.ID}
		for _, x := range addrs {
			a.Addrs = append(a.Addrs, x.Addr)
		}
		out = append(out, a)
	}
	if len(blocks) > 0 {
		a := Action{Kind: Unassign, ENI: e.ID, Blocks: make([]netip.Prefix, 0, len(blocks))}
		for _, b := range blocks {
			a.Blocks = append(a.Blocks, b.Prefix)
		}
		out = append(out, a)
	}
	return out
}
