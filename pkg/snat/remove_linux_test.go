package snat

import (
	"os"
	"strings"
	"testing"
)

// What was made is gone after Remove, with either backend and iptables flavour;
// others' rules stay, and a second Remove finds nothing.
func TestRemove(t *testing.T) {
	eachFlavour(t, func(t *testing.T) {
		for _, backend := range []string{"iptables", "nftables"} {
			dir := t.TempDir()
			k := New(dir)
			run(t, "iptables", "-t", "nat", "-A", "POSTROUTING", "-s", "192.0.2.0/24", "-j", "MASQUERADE")
			rules := run(t, "ip", "-4", "rule")
			before := everything(t)
			s := scenario(t, Texts{"backend": backend})
			ensure(t, k, s)
			if err := k.Ask(Wish{Network: "vpc"}, nil); err != nil {
				t.Fatal(err)
			}
			dry, err := k.Remove(true)
			if err != nil || len(dry) < 3 {
				t.Errorf("%s: would remove %q, %v", backend, dry, err)
			}
			if everything(t) == before {
				t.Errorf("%s: a dry run changed the kernel, or nothing was made", backend)
			}
			done, err := k.Remove(false)
			if err != nil || strings.Join(done, "\n") != strings.Join(dry, "\n") {
				t.Errorf("%s: removed %q, said %q, %v", backend, done, dry, err)
			}
			if after := everything(t); after != before {
				t.Errorf("%s: before\n%s\nafter\n%s", backend, before, after)
			}
			if after := run(t, "ip", "-4", "rule"); after != rules {
				t.Errorf("%s: rules before\n%s\nafter\n%s", backend, rules, after)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
				t.Errorf("%s: %v is left, %v", backend, left, err)
			}
			if again, err := k.Remove(false); err != nil || len(again) != 0 {
				t.Errorf("%s: the second time: %q, %v", backend, again, err)
			}
			run(t, "iptables", "-t", "nat", "-F", "POSTROUTING")
		}
	})
}

// everything is the nat table and whether our nftables table is there.
func everything(t *testing.T) string {
	t.Helper()
	out := nat(t)
	for l := range strings.Lines(run(t, "nft", "list", "tables")) {
		if strings.Contains(l, tableName) {
			out += "\n" + l
		}
	}
	return out
}
