package fabric

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/vpcchain/vpcchain/integration/vpcsim/network"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// script is the changing part of the ruleset: which port may send from where,
// what its groups allow, which addresses exist.
func script(v network.VPC) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("flush chain ip vpc inside")
	line("flush set ip vpc known")
	for _, m := range []string{"source", "egress", "ingress"} {
		line("flush map ip vpc %s", m)
	}
	for _, m := range matches(v.CIDRs) {
		line("add rule ip vpc inside ip daddr %s ip daddr != @known goto no_address", m)
	}
	known := []netip.Prefix{}
	for _, s := range v.Subnets {
		known = append(known, vpcnet.Host(vpcnet.Router(s.CIDR)))
	}
	members := map[string][]netip.Prefix{}
	for _, p := range v.Ports {
		known = append(known, portPrefixes(p)...)
		for _, g := range p.Groups {
			members[g] = append(members[g], portPrefixes(p)...)
		}
	}
	elements(&b, "known", known)
	for _, g := range v.Groups {
		group(line, g, members)
	}
	for _, p := range v.Ports {
		portChains(line, p)
	}
	return b.String()
}

func portChains(line func(string, ...any), p network.Port) {
	name := portName(p)
	line("add chain ip vpc src_%s", name)
	line("flush chain ip vpc src_%s", name)
	if p.VLAN != 0 {
		// The trunk's link takes any MAC behind a tag; the VPC only the branch's.
		line("add rule ip vpc src_%s ether saddr != %s goto no_mac", name, p.MAC)
	}
	if p.SourceDestCheck {
		for _, m := range matches(portPrefixes(p)) {
			line("add rule ip vpc src_%s ip saddr %s return", name, m)
		}
		line("add rule ip vpc src_%s goto no_source", name)
	}
	line("add element ip vpc source { \"%s\" : jump src_%s }", name, name)
	for _, d := range []struct{ dir, chain, track string }{{"egress", "eg", "out_track"}, {"ingress", "in", "in_track"}} {
		line("add chain ip vpc %s_%s", d.chain, name)
		line("flush chain ip vpc %s_%s", d.chain, name)
		if p.NATGateway {
			line("add rule ip vpc %s_%s goto %s", d.chain, name, d.track)
		}
		for _, g := range p.Groups {
			line("add rule ip vpc %s_%s jump %s_%s", d.chain, name, d.dir, chainName(g))
		}
		line("add rule ip vpc %s_%s goto no_%s", d.chain, name, d.dir)
		line("add element ip vpc %s { \"%s\" : goto %s_%s }", d.dir, name, d.chain, name)
	}
}

// dropChains removes the chains of ports that are gone.
func dropChains(old, now []string) string {
	var b strings.Builder
	for _, name := range old {
		if slices.Contains(now, name) {
			continue
		}
		for _, kind := range []string{"src", "eg", "in"} {
			fmt.Fprintf(&b, "flush chain ip vpc %s_%s\ndelete chain ip vpc %s_%s\n", kind, name, kind, name)
		}
	}
	return b.String()
}

func chainName(id string) string { return strings.ReplaceAll(id, "-", "_") }

// group makes a chain per direction; a match tracks the flow and accepts.
func group(line func(string, ...any), g network.SecurityGroup, members map[string][]netip.Prefix) {
	for _, d := range []struct {
		dir, side, track string
		perms            []network.Permission
	}{{"egress", "daddr", "out_track", g.Egress}, {"ingress", "saddr", "in_track", g.Ingress}} {
		chain := d.dir + "_" + chainName(g.ID)
		line("add chain ip vpc %s", chain)
		line("flush chain ip vpc %s", chain)
		for _, p := range d.perms {
			peers := slices.Clone(p.CIDRs)
			for _, id := range p.Groups {
				peers = append(peers, members[id]...)
			}
			for _, m := range matches(peers) {
				line("add rule ip vpc %s ip %s %s %s goto %s", chain, d.side, m, protocol(p), d.track)
			}
		}
	}
}

func protocol(p network.Permission) string {
	switch p.Protocol {
	case "tcp", "udp":
		return fmt.Sprintf("%s dport %d-%d", p.Protocol, p.FromPort, p.ToPort)
	case "icmp":
		return "ip protocol icmp"
	}
	return ""
}
