package fabric

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// matches are the alternatives of "the address is one of these": one for all
// single addresses together, one for each wider prefix. An interval set would be
// one for all, but is not right at every moment: when a transaction replaces it,
// the kernel (6.18) has an instant in which a lookup finds nothing, and a packet
// of that instant would be refused. Hash sets and rules have none.
func matches(ps []netip.Prefix) []string {
	var single, out []string
	for _, p := range disjoint(ps) {
		if p.IsSingleIP() {
			single = append(single, p.Addr().String())
		} else {
			out = append(out, p.String())
		}
	}
	if len(single) > 0 {
		out = append(out, "{ "+strings.Join(single, ", ")+" }")
	}
	return out
}

func disjoint(ps []netip.Prefix) []netip.Prefix {
	sorted := slices.Clone(ps)
	// Wider first, so that a narrower one inside it is dropped.
	slices.SortFunc(sorted, func(a, b netip.Prefix) int {
		if a.Bits() != b.Bits() {
			return a.Bits() - b.Bits()
		}
		return a.Addr().Compare(b.Addr())
	})
	var out []netip.Prefix
	for _, p := range sorted {
		if !slices.ContainsFunc(out, p.Overlaps) {
			out = append(out, p)
		}
	}
	return out
}

// elements adds the single addresses of the prefixes to a hash set.
func elements(b *strings.Builder, name string, ps []netip.Prefix) {
	var texts []string
	for _, p := range disjoint(ps) {
		for _, a := range expand(p) {
			texts = append(texts, a.String())
		}
	}
	if len(texts) > 0 {
		fmt.Fprintf(b, "add element ip vpc %s { %s }\n", name, strings.Join(texts, ", "))
	}
}
