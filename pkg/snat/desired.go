package snat

import (
	"fmt"
	"strings"
)

// Names that the stock AWS VPC CNI gives its objects; ours have the same, so
// that what operators grep for stays true.
const (
	chainPrefix     = "AWS-SNAT-CHAIN-"
	markChainPrefix = "AWS-CONNMARK-CHAIN-" // the stock CNI's; ours is in nftables
	comment         = "AWS SNAT CHAIN"
	commentExclude  = "AWS SNAT CHAIN EXCLUSION"
	commentSNAT     = "AWS, SNAT"
	commentOutbound = "AWS, outbound connections"
	commentPrimary  = "AWS, primary ENI"
	commentConnmark = "AWS, CONNMARK"
	commentMark     = "AWS CONNMARK CHAIN"
)

// ipChain is an iptables chain of the nat table with its rules as `iptables -S`
// prints them, without "-A <chain>".
type ipChain struct {
	name  string
	rules []string
}

// iptablesChains are the chains of the nat table that the settings ask for, the
// jump from POSTROUTING leading to the first.
func (s Settings) iptablesChains() []ipChain {
	if s.ChainStyle == "flat" {
		return []ipChain{s.flat()}
	}
	var out []ipChain
	name := func() string { return fmt.Sprint(chainPrefix, len(out)) }
	next := func() string { return fmt.Sprint(chainPrefix, len(out)+1) }
	for _, d := range s.destinations() {
		if d.cidr == "0.0.0.0/0" {
			// Nothing is outside it. iptables-nft refuses "! -d 0.0.0.0/0", and one
			// refused rule loses the whole commit; an empty chain says the same.
			return append(out, ipChain{name(), nil})
		}
		out = append(out, ipChain{name(), []string{fmt.Sprintf("! -d %s -m comment --comment %q -j %s", d.cidr, d.comment, next())}})
	}
	return append(out, ipChain{name(), []string{s.snatRule()}})
}

type destination struct{ cidr, comment string }

// destinations are the VPC's CIDRs in IMDS order, then the exclusions.
func (s Settings) destinations() []destination {
	var out []destination
	for _, p := range s.VPCCIDRs {
		out = append(out, destination{p.String(), comment})
	}
	for _, p := range s.Exclude {
		out = append(out, destination{p.String(), commentExclude})
	}
	return out
}

// flat is the single chain of newer stock versions: a RETURN per destination.
func (s Settings) flat() ipChain {
	c := ipChain{name: chainPrefix + "0"}
	for _, d := range s.destinations() {
		match := "-d " + d.cidr + " "
		if d.cidr == "0.0.0.0/0" {
			match = ""
		}
		c.rules = append(c.rules, fmt.Sprintf("%s-m comment --comment %q -j RETURN", match, d.comment))
	}
	c.rules = append(c.rules, s.snatRule())
	return c
}

// snatRule rewrites the source, unless the packet goes to a branch ENI (whose
// pods have an ENI of their own) or stays on the node.
func (s Settings) snatRule() string {
	rule := fmt.Sprintf("! -o vlan+ -m comment --comment %q -m addrtype ! --dst-type LOCAL -j SNAT --to-source %s", commentSNAT, s.NodeIP)
	switch s.Randomize {
	case "prng":
		rule += " --random-fully"
	case "hashrandom":
		rule += " --random"
	}
	return rule
}

// ipTable is what of an iptables table is ours: chains, and rules in the
// kernel's own chains.
type ipTable struct {
	chains  []ipChain
	builtin map[string][]string
}

// ipTables are the iptables tables; source says whether the SNAT is there (and
// not in nftables), mark whether the connection mark is: on a kernel without
// nf_tables. The mark then is decided in the nat table, in the order in which
// the programs of the node registered: a connection to a ClusterIP may be marked
// by its ClusterIP, and one that another DNAT took first is not marked at all.
func (s Settings) ipTables(source, mark bool) map[string]ipTable {
	out := map[string]ipTable{"nat": {builtin: map[string][]string{}}, "mangle": {builtin: map[string][]string{}}}
	nat, mangle := out["nat"], out["mangle"]
	if source && !s.External {
		nat.chains = s.iptablesChains()
		nat.builtin["POSTROUTING"] = []string{jumpRule()}
	}
	value := fmt.Sprintf("%#x", s.Mark)
	if mark && !s.External {
		c := ipChain{name: markChainPrefix + "0"}
		for _, p := range s.Internal() {
			c.rules = append(c.rules, fmt.Sprintf("-d %s -m comment --comment %q -j RETURN", p, commentMark))
		}
		c.rules = append(c.rules, fmt.Sprintf("-m comment --comment %q -j CONNMARK --set-xmark %s/%s", commentConnmark, value, value))
		nat.chains = append(nat.chains, c)
		nat.builtin["PREROUTING"] = []string{
			fmt.Sprintf("-i %s+ -m comment --comment %q -j %s0", s.VethPrefix, commentOutbound, markChainPrefix),
			fmt.Sprintf("-i %s+ -m comment --comment %q -j CONNMARK --restore-mark --nfmask %s --ctmask %s", s.VethPrefix, commentConnmark, value, value),
		}
	}
	if mark && s.markPrimary() {
		restore := func(link string) string {
			return fmt.Sprintf("-i %s+ -m comment --comment %q -j CONNMARK --restore-mark --nfmask %s --ctmask %s", link, commentPrimary, value, value)
		}
		var rules []string
		if s.NodePort {
			rules = append(rules, fmt.Sprintf("-i %s -m comment --comment %q -m addrtype --dst-type LOCAL --limit-iface-in -j CONNMARK --set-xmark %s/%s",
				s.PrimaryLink, commentPrimary, value, value), restore("vlan"))
		}
		mangle.builtin["PREROUTING"] = append(rules, restore(s.VethPrefix))
	}
	out["nat"], out["mangle"] = nat, mangle
	return out
}

func jumpRule() string { return fmt.Sprintf("-m comment --comment %q -j %s0", comment, chainPrefix) }

// markPrimary tells whether connections are ever marked, and with that whether
// rule 1024 and the restoring of the mark are needed.
func (s Settings) markPrimary() bool { return s.NodePort || !s.External }

// String is the wanted state as a person would list it.
func (s Settings) String() string {
	var b strings.Builder
	if s.Backend != "nftables" && !s.External {
		for i, c := range s.iptablesChains() {
			if i == 0 {
				fmt.Fprintf(&b, "-A POSTROUTING %s\n", jumpRule())
			}
			for _, r := range c.rules {
				fmt.Fprintf(&b, "-A %s %s\n", c.name, r)
			}
			if len(c.rules) == 0 {
				fmt.Fprintf(&b, "-N %s\n", c.name)
			}
		}
	}
	if s.markPrimary() {
		fmt.Fprintf(&b, "set %s %v\n", internalSet, s.Internal())
	}
	for _, c := range s.nftChains(s.Backend == "nftables") {
		fmt.Fprintf(&b, "chain %s { %s\n", c.name, c.hook)
		for _, r := range c.rules {
			fmt.Fprintf(&b, "  %s\n", r.text)
		}
		fmt.Fprintln(&b, "}")
	}
	if s.markPrimary() {
		fmt.Fprintf(&b, "rule 1024: fwmark %#x/%#x lookup main\n", s.Mark, s.Mark)
	}
	return b.String()
}
