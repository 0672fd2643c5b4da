package fabric

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// set writes an anonymous set without overlaps, which nft refuses in an interval set.
func set(ps []netip.Prefix) string {
	var texts []string
	for _, p := range disjoint(ps) {
		texts = append(texts, p.String())
	}
	return "{ " + strings.Join(texts, ", ") + " }"
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

func elements(b *strings.Builder, name string, ps []netip.Prefix) {
	if len(ps) > 0 {
		fmt.Fprintf(b, "add element ip vpc %s %s\n", name, set(ps))
	}
}
