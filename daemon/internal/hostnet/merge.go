package hostnet

import (
	"net/netip"
	"slices"
)

// Merge returns the fewest CIDR blocks that cover exactly the given addresses,
// in ascending order. Duplicates are allowed; invalid addresses are dropped.
func Merge(addrs []netip.Addr) []netip.Prefix {
	ps := make([]netip.Prefix, 0, len(addrs))
	for _, a := range addrs {
		if a.IsValid() {
			ps = append(ps, netip.PrefixFrom(a.WithZone(""), a.BitLen()))
		}
	}
	return mergePrefixes(ps)
}

// mergePrefixes is Merge for blocks: the fewest that cover exactly the union.
// It keeps a stack of blocks in ascending order; a block inside the top one
// adds nothing, and two halves of one block become that block.
func mergePrefixes(ps []netip.Prefix) []netip.Prefix {
	in := make([]netip.Prefix, 0, len(ps))
	for _, p := range ps {
		if p.IsValid() {
			in = append(in, p.Masked())
		}
	}
	slices.SortFunc(in, comparePrefixes)
	var out []netip.Prefix
	for _, p := range in {
		if n := len(out); n > 0 && out[n-1].Contains(p.Addr()) {
			continue // sorted: the one before is at least as wide
		}
		out = append(out, p)
		for n := len(out); n > 1; n = len(out) {
			both, ok := join(out[n-2], out[n-1])
			if !ok {
				break
			}
			out = append(out[:n-2], both)
		}
	}
	return out
}

// join returns the block of which lo and hi are the two halves.
func join(lo, hi netip.Prefix) (netip.Prefix, bool) {
	if lo.Bits() != hi.Bits() || lo.Bits() == 0 || lo.Addr().BitLen() != hi.Addr().BitLen() {
		return netip.Prefix{}, false
	}
	both := netip.PrefixFrom(lo.Addr(), lo.Bits()-1).Masked()
	if both.Addr() != lo.Addr() || !both.Contains(hi.Addr()) {
		return netip.Prefix{}, false
	}
	return both, true
}

// comparePrefixes orders by address, the wider block first.
func comparePrefixes(a, b netip.Prefix) int {
	if c := a.Addr().Compare(b.Addr()); c != 0 {
		return c
	}
	return a.Bits() - b.Bits()
}
