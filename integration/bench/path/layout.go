package path

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// layout is the part of a node's rules and routes that exists for its pods.
type layout struct {
	rules  []*netlink.Rule
	routes []*netlink.Route
}

// put makes a layout of the node and removes another one.
func put(node *netlink.Handle, l, old layout) error {
	var errs []error
	for _, r := range l.routes {
		errs = append(errs, node.RouteReplace(r))
	}
	for _, r := range l.rules {
		errs = append(errs, node.RuleAdd(r))
	}
	for _, r := range old.rules {
		errs = append(errs, node.RuleDel(r))
	}
	for _, r := range old.routes {
		errs = append(errs, node.RouteDel(r))
	}
	return errors.Join(errs...)
}

// ours reads what the daemon and vpc-veth made for pods, in the kernel's order.
func ours(node netlinksafe.Handle) (l layout, err error) {
	rules, err := node.RuleList(netlink.FAMILY_V4)
	if err != nil {
		return l, fmt.Errorf("listing rules: %w", err)
	}
	for _, r := range rules {
		if r.Protocol == vpcnet.RouteProtocol && (r.Priority == vpcnet.RulePods || r.Priority == vpcnet.RuleFrom) {
			l.rules = append(l.rules, newRule(r.Priority, r.Table, r.Src, r.Dst, r.Protocol))
		}
	}
	routes, err := node.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Table: vpcnet.TablePods}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return l, fmt.Errorf("listing table %d: %w", vpcnet.TablePods, err)
	}
	for _, r := range routes {
		l.routes = append(l.routes, &netlink.Route{LinkIndex: r.LinkIndex, Dst: r.Dst, Src: r.Src, Table: r.Table, Scope: r.Scope, Protocol: r.Protocol})
	}
	return l, nil
}

func newRule(priority, table int, src, dst *net.IPNet, protocol uint8) *netlink.Rule {
	r := netlink.NewRule()
	r.Family, r.Priority, r.Table, r.Src, r.Dst, r.Protocol = netlink.FAMILY_V4, priority, table, src, dst, protocol
	return r
}

// stock is what the stock AWS VPC CNI makes for the same pods on the same ENIs,
// in the order in which they came: for each a route in table main, a rule 512 to
// it, and if it is on a secondary ENI a rule 1536 from it.
func stock(l layout, pods []netip.Addr) layout {
	dev := map[netip.Addr]int{}
	for _, r := range l.routes {
		if a, ok := netip.AddrFromSlice(r.Dst.IP); ok {
			dev[a.Unmap()] = r.LinkIndex
		}
	}
	var out layout
	for _, p := range pods {
		dst := &net.IPNet{IP: p.AsSlice(), Mask: net.CIDRMask(32, 32)}
		out.routes = append(out.routes, &netlink.Route{LinkIndex: dev[p], Dst: dst, Table: unix.RT_TABLE_MAIN, Scope: netlink.SCOPE_LINK})
		out.rules = append(out.rules, newRule(vpcnet.RulePods, unix.RT_TABLE_MAIN, nil, dst, 0))
		i := slices.IndexFunc(l.rules, func(r *netlink.Rule) bool { return r.Priority == vpcnet.RuleFrom && r.Src.Contains(dst.IP) })
		if i >= 0 {
			out.rules = append(out.rules, newRule(vpcnet.RuleFrom, l.rules[i].Table, dst, nil, 0))
		}
	}
	return out
}
