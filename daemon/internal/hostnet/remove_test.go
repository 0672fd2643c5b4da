package hostnet

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// Ours go in the order in which nothing is sent to an empty table; others' stay,
// and a sysctl that somebody has changed since keeps its value.
func TestPlanRemove(t *testing.T) {
	d, k := twoENIs()
	k.links[3].Alias = "vpc/c1/eth0"
	k = follow(k, diff(d, k))
	stock := rule{Priority: vpcnet.RuleFrom, Src: prefixOf("10.20.11.50/32"), Table: 2, Plain: true}
	branch := rule{Priority: vpcnet.RuleFrom, Src: prefixOf("10.20.11.60/32"), Table: vpcnet.TableBranch(7), Protocol: vpcnet.RouteProtocol, Plain: true}
	k.rules = append(k.rules, stock, branch)
	k.routes = append(k.routes, route{Table: 2, Dst: prefixOf("198.51.100.0/24"), Link: 3, Dev: "eth1", Type: typeUnicast, Plain: true})
	was := map[string]string{ipForward: "0", rpFilter("eth0"): "1"}
	k.sysctls[rpFilter("eth0")] = "0" // by somebody
	got := planned{steps: planRemove(k, was, true)}
	want := []string{
		"link del eni0123 of vpc/c1/eth0",
		"rule del 512: from all lookup 5120 proto 86",
		"rule del 1535: from all to 192.0.2.0/24 lookup 254 proto 86",
		"rule del 1536: from 10.20.11.40/31 lookup 2 proto 86",
		"rule del 32765: from 10.20.11.5/32 lookup 2 proto 86",
		"route del 10.20.11.1/32 dev eth1 table 2 scope link proto 86",
		"route del default via 10.20.11.1 dev eth1 table 2 proto 86",
		"route del 10.20.11.40/32 dev eni0123 table 5120 scope link src 10.20.11.162 proto 86",
		"addr del 10.20.11.5/24 dev eth1",
		"link set eth1 down",
		"sysctl net/ipv4/ip_forward 1 -> 0",
	}
	if diff := cmp.Diff(want, texts(got)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for _, s := range planRemove(k, nil, false) {
		if s.verb == delLink || s.verb == setSysctl {
			t.Errorf("not asked for: %s", s)
		}
	}
}

// The kernel after Remove is the one before Sync, by its own words, and a second
// Remove does nothing.
func TestRemove(t *testing.T) {
	h, d := nodeWith3(t)
	read := func() kernel {
		k, err := observe(h.nl, d.PrimaryMAC)
		must(t, err)
		for i := range k.links {
			k.links[i].MTU = 0 // stays
		}
		return k
	}
	before := read()
	syncOK(t, h, d)
	foreign := netlink.NewRule()
	foreign.Family, foreign.Priority, foreign.Table, foreign.Src = netlink.FAMILY_V4, vpcnet.RuleFrom, 2, toIPNet(prefixOf("192.0.2.9/32"))
	must(t, netlink.RuleAdd(foreign))
	dry, err := h.Remove(t.Context(), Removal{Dry: true})
	must(t, err)
	done, err := h.Remove(t.Context(), Removal{})
	must(t, err)
	if len(done) == 0 || !slices.Equal(dry, done) {
		t.Errorf("said %q, did %q", dry, done)
	}
	must(t, netlink.RuleDel(foreign)) // which was left alone
	after := read()
	if !slices.Equal(before.rules, after.rules) || !slices.Equal(before.addrs, after.addrs) || !maps.Equal(before.sysctls, after.sysctls) ||
		!slices.Equal(before.routes, after.routes) || !slices.Equal(before.links, after.links) {
		t.Errorf("before %+v\nafter %+v", before, after)
	}
	if again, err := h.Remove(t.Context(), Removal{}); err != nil || len(again) != 0 {
		t.Errorf("the second time: %q, %v", again, err)
	}
}
