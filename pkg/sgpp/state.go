package sgpp

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// tableLocal is RT_TABLE_LOCAL, where the node's own addresses are.
const tableLocal = 255

// state is one reading of the kernel.
type state struct {
	links      []link
	rules      []rule
	routes     []route           // of branch tables and 5120; read only where needed
	sysctls    map[string]string // by path below /proc/sys
	saved      map[string]string // what they were before strict mode; nil: not changed
	halfRecord bool              // a writer of the record was killed, or is at it
}

type link struct {
	Index, Parent int
	Name          string
	Kind          string // the kernel's rtnl_link_ops kind; "device" for hardware
	Alias         string
	MAC           string
	VLAN          int // of kind vlan
	MTU           int // bytes
	Up            bool
}

// rule is a policy rule with the selectors that this package writes. Plain is
// false for one with any other: such a rule is never ours.
type rule struct {
	Priority int
	IIF      string
	Src      netip.Prefix // the zero Prefix is "all"
	Table    int
	Protocol int
	Plain    bool
}

func (r rule) ours() bool { return r.Plain && r.Protocol == vpcnet.RouteProtocol }

// local tells whether the rule leads to the table of the node's own addresses.
func (r rule) local() bool {
	return r.Plain && r.IIF == "" && !r.Src.IsValid() && r.Table == tableLocal
}

// branch tells whether the rule is a branch's, of this project or the stock CNI
// (protocol 0 there).
func (r rule) branch() (vlan int, ok bool) {
	if !r.Plain || r.Protocol != vpcnet.RouteProtocol && r.Protocol != 0 || r.Priority != vpcnet.RuleBranch && r.Priority != vpcnet.RuleFrom {
		return 0, false
	}
	return vpcnet.ParseTableBranch(r.Table)
}

func (r rule) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d:", r.Priority)
	if r.IIF != "" {
		fmt.Fprintf(&b, " iif %s", r.IIF)
	}
	if r.Src.IsValid() {
		fmt.Fprintf(&b, " from %s", r.Src)
	}
	fmt.Fprintf(&b, " lookup %d proto %d", r.Table, r.Protocol)
	return b.String()
}

// route is of scope link without a gateway, of scope global with one, and has
// the project's protocol.
type route struct {
	Table int
	Dst   netip.Prefix // 0.0.0.0/0 for default
	Gw    netip.Addr
	Dev   string
	Src   netip.Addr
}

func (r route) String() string {
	var b strings.Builder
	b.WriteString(r.Dst.String())
	if r.Dst.Bits() == 0 {
		b.Reset()
		b.WriteString("default")
	}
	if r.Gw.IsValid() {
		fmt.Fprintf(&b, " via %s", r.Gw)
	}
	fmt.Fprintf(&b, " dev %s table %d", r.Dev, r.Table)
	if r.Src.IsValid() {
		fmt.Fprintf(&b, " src %s", r.Src)
	}
	return b.String()
}

func (s state) byName(name string) (link, bool) {
	i := slices.IndexFunc(s.links, func(l link) bool { return l.Name == name })
	if i < 0 {
		return link{}, false
	}
	return s.links[i], true
}

// byMAC finds the trunk: the oldest link with that MAC which is not stacked on
// another, as a VLAN or a bridge that took over the MAC is.
func (s state) byMAC(mac string) (link, bool) {
	best, found := link{}, false
	for _, l := range s.links {
		switch l.Kind {
		case "bridge", "bond", "vlan", "macvlan", "macvtap", "ipvlan", "ipvtap", "team":
			continue
		}
		if mac != "" && strings.EqualFold(l.MAC, mac) && (!found || l.Index < best.Index) {
			best, found = l, true
		}
	}
	return best, found
}

// branchLink tells whether l is named and made as a branch's, and its id.
func (l link) branch() (vlan int, ok bool) {
	vlan, ok = vpcnet.ParseBranchLink(l.Name)
	return vlan, ok && l.Kind == "vlan"
}

// halfMade tells whether l, a branch's link, was left by an ADD that was killed:
// alias and UP come in one message.
func (l link) halfMade() bool { return l.Alias == "" && !l.Up }

// strict tells whether a strict branch is on the node, ours or the stock CNI's.
func (s state) strict() bool {
	return slices.ContainsFunc(s.rules, func(r rule) bool {
		_, ok := r.branch()
		return ok && r.Priority == vpcnet.RuleBranch
	})
}

func (s state) hasRule(want func(rule) bool) bool { return slices.ContainsFunc(s.rules, want) }
