// Package sgpp is the node's side of a pod with security groups of its own: the
// VLAN link of its branch ENI, the branch's routing table, the rules that send
// the pod's packets there, and the state of the node that strict mode needs. The
// vpc-sgpp plugin makes and removes it; vpc-ipamd repairs it.
//
// Strict mode: everything between the pod and anybody goes through the trunk,
// where the VPC applies the security groups, also between two pods of one node:
//
//	10: iif <host veth>, and iif vlan.eth.<id>, lookup <branch table>
//	20: lookup local, in place of rule 0
//	branch table: router, default, the pod
//	net.ipv4.tcp_early_demux and udp_early_demux 0
//
// Standard mode: what stays on the node, and what goes to the internet, is
// routed as other pods' is; the rest leaves by the trunk:
//
//	512: lookup 5120, with a route to the pod; 1536: from <pod> lookup <branch table>
//	branch table: router, default
//
// The local table and the two sysctls are the whole node's. They are changed
// while a rule 10 exists, and are back as they were when the last one goes; the
// sysctls' values of before are in sgpp.json beside the node facts.
//
// Who owns a VLAN link is in its alias, the attachment. Every change is computed
// from one reading of the kernel, under a file lock that all of the node's
// plugins and its daemon take: whatever looks half-made to the holder was left by
// one that was killed.
package sgpp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vpcchain/vpcchain/pkg/nodefacts"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// Branch is one pod's branch ENI, as the node's kernel is to have it.
type Branch struct {
	Attachment vpcnet.Attachment
	VLAN       int        // 802.1Q id, 1 to 4094
	MAC        string     // of the branch ENI
	Addr       netip.Addr // the pod's
	Gateway    netip.Addr // the VPC router of the branch's subnet
	HostVeth   string
	// Mode is nodefacts.ModeStrict or ModeStandard. A branch that exists keeps the
	// mode it was made in.
	Mode string
}

// Node is what all branches of a node share.
type Node struct {
	TrunkMAC string     // finds the trunk ENI's link
	NodeIP   netip.Addr // source of the node's packets to pods in standard mode; may be invalid
}

// Link is the name of the branch's VLAN link.
func (b Branch) Link() string { return vpcnet.BranchLink(b.VLAN) }

func (b Branch) table() int { return vpcnet.TableBranch(b.VLAN) }

func (b Branch) strict() bool { return b.Mode == nodefacts.ModeStrict }

// Validate says why the branch cannot be made, or nil.
func (b Branch) Validate() error {
	mac, err := net.ParseMAC(b.MAC)
	switch {
	case b.VLAN < 1 || b.VLAN > vpcnet.MaxVLAN:
		return fmt.Errorf("VLAN id %d: 1 to %d are allowed", b.VLAN, vpcnet.MaxVLAN)
	case err != nil || len(mac) != 6 || mac[0]&1 != 0:
		return fmt.Errorf("%q is not the MAC address of an ENI", b.MAC)
	case !b.Addr.Is4():
		return fmt.Errorf("branch ENI %s has the address %s: only IPv4 is served", b.Link(), b.Addr)
	case !b.Gateway.Is4() || b.Gateway == b.Addr:
		return fmt.Errorf("branch ENI %s has the router %s: it must be the IPv4 router of its subnet", b.Link(), b.Gateway)
	case b.HostVeth == "":
		return errors.New("the host veth has no name")
	}
	return CheckMode(b.Mode)
}

// CheckMode says why mode is none, or nil.
func CheckMode(mode string) error {
	if mode != nodefacts.ModeStrict && mode != nodefacts.ModeStandard {
		return fmt.Errorf("enforcing mode %q: %s and %s are allowed", mode, nodefacts.ModeStrict, nodefacts.ModeStandard)
	}
	return nil
}

// rules are the branch's own, in the order in which they are made: the pod's way
// out is there before the host veth is up.
func (b Branch) rules() []rule {
	if !b.strict() {
		return []rule{{Priority: vpcnet.RuleFrom, Src: vpcnet.Host(b.Addr), Table: b.table(), Protocol: vpcnet.RouteProtocol, Plain: true}}
	}
	return []rule{b.iif(b.HostVeth), b.iif(b.Link())}
}

func (b Branch) iif(link string) rule {
	return rule{Priority: vpcnet.RuleBranch, IIF: link, Table: b.table(), Protocol: vpcnet.RouteProtocol, Plain: true}
}

// wayOut are the routes by the VLAN link.
func (b Branch) wayOut() []route {
	return []route{
		{Table: b.table(), Dst: vpcnet.Host(b.Gateway), Dev: b.Link()},
		{Table: b.table(), Dst: netip.PrefixFrom(netip.IPv4Unspecified(), 0), Gw: b.Gateway, Dev: b.Link()},
	}
}

// wayIn is the route by the host veth, which must be up before it.
func (b Branch) wayIn(n Node) route {
	if b.strict() {
		return route{Table: b.table(), Dst: vpcnet.Host(b.Addr), Dev: b.HostVeth}
	}
	return route{Table: vpcnet.TablePods, Dst: vpcnet.Host(b.Addr), Dev: b.HostVeth, Src: n.NodeIP}
}

// observedMode is that of the branch as it is in the kernel, else the wanted one.
func (b Branch) observedMode(s state) string {
	for _, r := range s.rules {
		switch {
		case !r.ours() || r.Table != b.table():
		case r.Priority == vpcnet.RuleBranch:
			return nodefacts.ModeStrict
		case r.Priority == vpcnet.RuleFrom:
			return nodefacts.ModeStandard
		}
	}
	for _, r := range s.routes {
		switch {
		case r.Dst != vpcnet.Host(b.Addr) || r.Dev != b.HostVeth:
		case r.Table == b.table():
			return nodefacts.ModeStrict
		case r.Table == vpcnet.TablePods:
			return nodefacts.ModeStandard
		}
	}
	return b.Mode
}
