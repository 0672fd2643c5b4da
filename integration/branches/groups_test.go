package branches

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/vpcchain/vpcchain/integration/vpcsim/topology"
	"github.com/vpcchain/vpcchain/pkg/nodefacts"
)

// verdict says what must become of a first packet from a to b, from the groups of
// the topology alone: AWS' rule is that a group of the sender's ENI allows it out
// and a group of the receiver's ENI allows it in; answers need no rule. Who has
// no ENI has no groups.
func verdict(groups []topology.SecurityGroup, mode string, a, b *end, p port, primary []string) bool {
	from, to := a.groups, b.groups
	if a.node != "" && a.node == b.node && (mode == nodefacts.ModeStandard || !a.branch && !b.branch) {
		return true // it never leaves the node: no ENI, no groups
	}
	if mode == nodefacts.ModeStandard && a.branch && b.groups == nil {
		from = primary // what leaves the VPC does so by the node's primary ENI
	}
	return allows(groups, from, to, b.addr, p, func(g topology.SecurityGroup) []topology.Permission { return g.Egress }) &&
		allows(groups, to, from, a.addr, p, func(g topology.SecurityGroup) []topology.Permission { return g.Ingress })
}

// allows tells whether one of own has a permission for a peer with the groups
// and the address.
func allows(groups []topology.SecurityGroup, own, peer []string, addr netip.Addr, p port, dir func(topology.SecurityGroup) []topology.Permission) bool {
	if own == nil {
		return true
	}
	for _, g := range groups {
		if !slices.Contains(own, g.ID) {
			continue
		}
		for _, perm := range dir(g) {
			if perm.Protocol != "-1" && (perm.Protocol != p.proto || int(p.number) < perm.FromPort || int(p.number) > perm.ToPort) {
				continue
			}
			member := slices.ContainsFunc(perm.Groups, func(id string) bool { return slices.Contains(peer, id) })
			if member || slices.ContainsFunc(perm.CIDRs, func(c netip.Prefix) bool { return c.Contains(addr) }) {
				return true
			}
		}
	}
	return false
}

func TestVerdict(t *testing.T) {
	cidr := netip.MustParsePrefix("10.0.0.0/8")
	all := topology.Permission{Protocol: "-1", ToPort: 65535, CIDRs: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}}
	web := topology.Permission{Protocol: "tcp", FromPort: 8000, ToPort: 8080, Groups: []string{"sg-a"}}
	groups := []topology.SecurityGroup{
		{ID: "sg-a", Egress: []topology.Permission{all}},
		{ID: "sg-b", Ingress: []topology.Permission{web, {Protocol: "udp", FromPort: 53, ToPort: 53, CIDRs: []netip.Prefix{cidr}}}},
	}
	at := func(node, addr string, branch bool, groups ...string) *end {
		return &end{addr: netip.MustParseAddr(addr), node: node, branch: branch, groups: groups}
	}
	a, b, out := at("n", "10.0.0.1", true, "sg-a"), at("n", "10.0.0.2", true, "sg-b"), at("", "192.0.2.1", false)
	for _, c := range []struct {
		mode     string
		from, to *end
		port     port
		want     bool
	}{
		{"strict", a, b, port{"tcp", 8080}, true},
		{"strict", a, b, port{"tcp", 8081}, false},
		{"strict", a, b, port{"udp", 8080}, false},
		{"strict", a, b, port{"udp", 53}, true}, // by address
		{"strict", b, a, port{"tcp", 8080}, false},
		{"strict", out, b, port{"tcp", 8080}, false},
		{"strict", a, out, port{"tcp", 1}, true},
		{"strict", b, out, port{"tcp", 1}, false},
		{"standard", b, out, port{"tcp", 1}, true}, // as the node
		{"standard", a, b, port{"tcp", 8081}, true},
		{"standard", a, at("m", "10.0.0.3", true, "sg-b"), port{"tcp", 8081}, false},
		{"strict", a, at("n", "10.0.0.4", false, "sg-b"), port{"tcp", 8081}, false},
		{"strict", at("n", "10.0.0.5", false, "sg-b"), at("n", "10.0.0.4", false, "sg-b"), port{"tcp", 1}, true}, // neither has a branch
	} {
		if got := verdict(groups, c.mode, c.from, c.to, c.port, []string{"sg-a"}); got != c.want {
			t.Errorf("%s %v to %v %s: %v", c.mode, c.from.groups, c.to.groups, c.port, got)
		}
	}
}
