package hostnet

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// observe reads links, IPv4 addresses, routes of all tables, rules and the two
// sysctls. It must run in the host's network namespace.
func observe(nl netlinksafe.Handle, primaryMAC string) (kernel, error) {
	var k kernel
	links, err := listLinks()
	if err != nil {
		return k, fmt.Errorf("listing links: %w", err)
	}
	k.links = links
	names := make(map[int]string, len(links))
	for _, l := range links {
		names[l.Index] = l.Name
	}
	addrs, err := netlinksafe.AddrList(nil, netlink.FAMILY_V4)
	if err != nil {
		return k, fmt.Errorf("listing addresses: %w", err)
	}
	for _, a := range addrs {
		k.addrs = append(k.addrs, fromAddr(a))
	}
	routes, err := nl.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return k, fmt.Errorf("listing routes: %w", err)
	}
	k.routes = make([]route, 0, len(routes))
	for _, r := range routes {
		if r.Table == unix.RT_TABLE_LOCAL {
			continue
		}
		k.routes = append(k.routes, fromRoute(r, names[r.LinkIndex]))
	}
	rules, err := nl.RuleList(netlink.FAMILY_V4)
	if err != nil {
		return k, fmt.Errorf("listing rules: %w", err)
	}
	k.rules = make([]rule, 0, len(rules))
	for _, r := range rules {
		k.rules = append(k.rules, fromKernelRule(r))
	}
	k.sysctls, err = readSysctls(k, primaryMAC)
	return k, err
}

func fromAddr(a netlink.Addr) addr {
	return addr{
		Link: a.LinkIndex, Prefix: toPrefix(a.IPNet), Global: a.Scope == unix.RT_SCOPE_UNIVERSE,
		Secondary: a.Flags&unix.IFA_F_SECONDARY != 0,
	}
}

func fromRoute(r netlink.Route, dev string) route {
	return route{
		Table: r.Table, Dst: defaultIfZero(toPrefix(r.Dst)), Gw: toAddr(r.Gw), Link: r.LinkIndex, Dev: dev,
		Src: toAddr(r.Src), Scope: uint8(r.Scope), Protocol: int(r.Protocol), Type: r.Type, Metric: r.Priority,
		Plain: len(r.MultiPath) == 0 && r.Via == nil && r.Encap == nil && r.Tos == 0,
	}
}

// toKernel is the route for the kernel; it matches exactly this one on deletion.
func (r route) toKernel() *netlink.Route {
	out := &netlink.Route{
		Table: r.Table, Dst: toIPNet(r.Dst), LinkIndex: r.Link, Scope: netlink.Scope(r.Scope),
		Protocol: netlink.RouteProtocol(r.Protocol), Type: r.Type, Priority: r.Metric,
	}
	if r.Gw.IsValid() {
		out.Gw = r.Gw.AsSlice()
	}
	if r.Src.IsValid() {
		out.Src = r.Src.AsSlice()
	}
	return out
}

func fromKernelRule(r netlink.Rule) rule {
	return rule{
		Priority: r.Priority, Src: toPrefix(r.Src), Dst: toPrefix(r.Dst), Table: r.Table, Protocol: int(r.Protocol),
		Plain: plain(r),
	}
}

// plain tells whether r selects by source and destination alone and looks up a
// table. The library does not tell the action; one that is not a lookup has
// table 0 or a goto target.
func plain(r netlink.Rule) bool {
	bare := netlink.NewRule()
	bare.Priority, bare.Family, bare.Table, bare.Src, bare.Dst, bare.Protocol = r.Priority, r.Family, r.Table, r.Src, r.Dst, r.Protocol
	return r.Table != 0 && r == *bare
}

func (r rule) toKernel() *netlink.Rule {
	out := netlink.NewRule()
	out.Family = netlink.FAMILY_V4
	out.Priority, out.Table, out.Protocol = r.Priority, r.Table, uint8(r.Protocol) //nolint:gosec // read from one byte, or 86
	if r.Src.IsValid() {
		out.Src = toIPNet(r.Src)
	}
	if r.Dst.IsValid() {
		out.Dst = toIPNet(r.Dst)
	}
	return out
}

func toPrefix(n *net.IPNet) netip.Prefix {
	if n == nil {
		return netip.Prefix{}
	}
	ones, _ := n.Mask.Size()
	return netip.PrefixFrom(toAddr(n.IP), ones)
}

func toAddr(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return a.Unmap()
}

func defaultIfZero(p netip.Prefix) netip.Prefix {
	if p.IsValid() {
		return p
	}
	return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
}

func toIPNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
