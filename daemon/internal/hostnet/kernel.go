package hostnet

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// kernel is one reading of what Sync looks at. IPv4 only.
type kernel struct {
	links   []link
	addrs   []addr
	routes  []route
	rules   []rule
	sysctls map[string]string // by path below /proc/sys
}

type link struct {
	Index int
	Name  string
	MAC   string
	Kind  string // the kernel's rtnl_link_ops kind; "device" for hardware
	Alias string
	MTU   int
	Up    bool
}

type addr struct {
	Link      int // interface index
	Prefix    netip.Prefix
	Global    bool // scope universe
	Secondary bool // IFA_F_SECONDARY: goes when the first of its subnet goes
}

// Values of rtm_scope, rtm_protocol and rtm_type (linux/rtnetlink.h).
const (
	scopeUniverse  = 0
	scopeLink      = 253
	protocolKernel = 2
	typeUnicast    = 1
)

type route struct {
	Table    int
	Dst      netip.Prefix // 0.0.0.0/0 for default
	Gw       netip.Addr
	Link     int // interface index
	Dev      string
	Src      netip.Addr // preferred source
	Scope    uint8
	Protocol int
	Type     int
	Metric   int
	Plain    bool // no next hop, TOS or anything else that this struct leaves out
}

// same tells whether two routes send the same packets the same way.
func (r route) same(o route) bool {
	r.Protocol, r.Dev, o.Protocol, o.Dev = 0, "", 0, ""
	return r == o
}

func (r route) String() string {
	var b strings.Builder
	if r.Dst.Bits() == 0 {
		b.WriteString("default")
	} else {
		b.WriteString(r.Dst.String())
	}
	if r.Gw.IsValid() {
		fmt.Fprintf(&b, " via %s", r.Gw)
	}
	fmt.Fprintf(&b, " dev %s table %d", r.Dev, r.Table)
	if r.Scope == scopeLink {
		b.WriteString(" scope link")
	}
	if r.Src.IsValid() {
		fmt.Fprintf(&b, " src %s", r.Src)
	}
	if r.Metric != 0 {
		fmt.Fprintf(&b, " metric %d", r.Metric)
	}
	fmt.Fprintf(&b, " proto %d", r.Protocol)
	return b.String()
}

// rule is a policy rule with the selectors that this package writes. Plain is
// false for one with any other selector or action: such a rule is never ours.
type rule struct {
	Priority int
	Src, Dst netip.Prefix // the zero Prefix is "all"
	Table    int
	Protocol int
	Plain    bool
}

// ours tells whether r was made by this project. The kernel counts the protocol
// in: a rule that differs from ours only there can exist beside it.
func (r rule) ours() bool { return r.Plain && r.Protocol == vpcnet.RouteProtocol }

func (r rule) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d: from ", r.Priority)
	if r.Src.IsValid() {
		b.WriteString(r.Src.String())
	} else {
		b.WriteString("all")
	}
	if r.Dst.IsValid() {
		fmt.Fprintf(&b, " to %s", r.Dst)
	}
	fmt.Fprintf(&b, " lookup %d proto %d", r.Table, r.Protocol)
	return b.String()
}

// stackedKinds are links that may carry the MAC of the link below or above
// them; an ENI is never one of these.
func stackedKind(kind string) bool {
	switch kind {
	case "bridge", "bond", "vlan", "macvlan", "macvtap", "ipvlan", "ipvtap", "team":
		return true
	}
	return false
}

// byMAC finds the link of an ENI: the oldest with that MAC that is not stacked
// on another.
func (k kernel) byMAC(mac string) (link, bool) {
	best, found := link{}, false
	for _, l := range k.links {
		if mac == "" || l.MAC != mac || stackedKind(l.Kind) {
			continue
		}
		if !found || l.Index < best.Index {
			best, found = l, true
		}
	}
	return best, found
}

func (k kernel) byName(name string) (link, bool) {
	for _, l := range k.links {
		if l.Name == name {
			return l, true
		}
	}
	return link{}, false
}

// isENITable tells whether table t belongs to an ENI (vpcnet.ENITable). The
// kernel's own tables, table 5120 and the branch tables are not among them.
func isENITable(t int) bool {
	return (t >= 2 && t < 100) || (t >= 10000 && t < 20000)
}

// isBranchTable tells whether table t belongs to a branch ENI (vpcnet.TableBranch).
func isBranchTable(t int) bool {
	for _, vlan := range []int{t - 100, t - 6000} {
		if vlan >= 1 && vlan <= vpcnet.MaxVLAN && vpcnet.TableBranch(vlan) == t {
			return true
		}
	}
	return false
}
