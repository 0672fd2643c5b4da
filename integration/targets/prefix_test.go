package targets

import "testing"

// TestWarmPrefixTargets: the same with /28 prefixes.
func TestWarmPrefixTargets(t *testing.T) {
	for _, r := range read(t, "warm-prefix-targets.csv") {
		t.Run(r.name(), func(t *testing.T) {
			t.Parallel()
			n := start(t, r["instance_type"], append(r.settings(), "ENABLE_PREFIX_DELEGATION=true")...)
			n.pods(r.number(t, "pods"))
			prefixes := r.number(t, "attached_prefixes")
			n.converge(figures{ENIs: r.number(t, "enis"), Addresses: 16 * prefixes, Prefixes: prefixes, Unused: r.number(t, "unused_ips")})
		})
	}
}
