package explain

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vpcchain/vpcchain/pkg/nodefacts"
	"github.com/vpcchain/vpcchain/pkg/snat"
)

// Read makes a Snapshot of the network namespace of the process, without the
// daemon's view; facts is the file of node facts. IPv4 only.
func Read(facts string) (Snapshot, error) {
	var s Snapshot
	names := map[int]string{}
	links, err := netlinksafe.LinkList()
	if err != nil {
		return s, fmt.Errorf("listing links: %w", err)
	}
	for _, l := range links {
		a := l.Attrs()
		names[a.Index] = a.Name
		out := Link{Index: a.Index, Name: a.Name, MAC: a.HardwareAddr.String(), Alias: a.Alias, Up: a.Flags&net.FlagUp != 0}
		out.RPFilter = max(sysctl("all", "rp_filter"), sysctl(a.Name, "rp_filter"))
		out.Forwarding = sysctl(a.Name, "forwarding") == 1
		s.Links = append(s.Links, out)
	}
	if err := s.readRouting(names); err != nil {
		return s, err
	}
	now, err := snat.Look()
	if err != nil {
		s.Unread = append(s.Unread, "the outbound NAT was not read, whole or in part: "+err.Error())
	}
	s.NAT = now.Chains
	f, err := nodefacts.Read(facts)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		s.Unread = append(s.Unread, "there are no node facts at "+facts+": which link is the primary ENI's is not known")
	case err != nil:
		return s, err
	}
	s.Primary = f.PrimaryMAC
	return s, nil
}

// sysctl of a link; 0 if the link went meanwhile.
func sysctl(link, name string) int {
	raw, err := os.ReadFile(filepath.Join("/proc/sys/net/ipv4/conf", link, name)) //nolint:gosec // a link's name
	if err != nil {
		return 0
	}
	n, _ := strconv.Atoi(strings.TrimSpace(string(raw)))
	return n
}

func (s *Snapshot) readRouting(names map[int]string) error {
	addrs, err := netlinksafe.AddrList(nil, netlink.FAMILY_V4)
	if err != nil {
		return fmt.Errorf("listing addresses: %w", err)
	}
	for _, a := range addrs {
		s.Addrs = append(s.Addrs, Addr{a.LinkIndex, prefix(a.IPNet)})
	}
	rules, err := netlinksafe.RuleList(netlink.FAMILY_V4)
	if err != nil {
		return fmt.Errorf("listing rules: %w", err)
	}
	for _, r := range rules {
		s.Rules = append(s.Rules, fromRule(r))
	}
	routes, err := netlinksafe.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return fmt.Errorf("listing routes: %w", err)
	}
	for _, r := range routes {
		if r.Tos != 0 {
			s.Unread = append(s.Unread, fmt.Sprintf("a route to %s for one type of service is passed over", r.Dst))
			continue
		}
		s.Routes = append(s.Routes, fromRoute(r, names))
	}
	return nil
}

func fromRoute(r netlink.Route, names map[int]string) Route {
	if len(r.MultiPath) > 0 { // several ways: any may be taken
		r.LinkIndex, r.Gw = r.MultiPath[0].LinkIndex, r.MultiPath[0].Gw
	}
	out := Route{Table: r.Table, Kind: kind(r.Type), Dst: prefix(r.Dst), Link: r.LinkIndex, Dev: names[r.LinkIndex], Metric: r.Priority}
	if !out.Dst.IsValid() {
		out.Dst = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	out.Gw, _ = netip.AddrFromSlice(r.Gw.To4())
	out.Src, _ = netip.AddrFromSlice(r.Src.To4())
	return out
}

func kind(t int) string {
	switch t {
	case unix.RTN_UNICAST:
		return unicast
	case unix.RTN_LOCAL:
		return local
	case unix.RTN_BROADCAST:
		return "broadcast"
	case unix.RTN_BLACKHOLE:
		return "blackhole"
	case unix.RTN_UNREACHABLE:
		return "unreachable"
	case unix.RTN_PROHIBIT:
		return "prohibit"
	case unix.RTN_THROW:
		return throw
	}
	return "of type " + strconv.Itoa(t)
}

func fromRule(r netlink.Rule) Rule {
	out := Rule{
		Priority: r.Priority, Src: prefix(r.Src), Dst: prefix(r.Dst), In: r.IifName, Out: r.OifName, Mark: r.Mark, Not: r.Invert, Table: r.Table,
	}
	switch {
	case r.Mask != nil:
		out.Mask = *r.Mask
	case r.Mark != 0:
		out.Mask = ^uint32(0)
	}
	switch r.Type {
	case unix.RTN_BLACKHOLE, unix.RTN_UNREACHABLE, unix.RTN_PROHIBIT: // FR_ACT_ has the same numbers
		out.Drop = kind(int(r.Type))
	}
	switch {
	case r.Goto >= 0:
		out.Unreadable = "it goes on elsewhere in the list"
	case r.Table == 0 && out.Drop == "":
		out.Unreadable = "it looks up no table, and what else it does is not told"
	case r.Tos != 0 || r.IPProto != 0 || r.Dport != nil || r.Sport != nil || r.UIDRange != nil || r.TunID != 0:
		out.Unreadable = "it asks for ports, a protocol, a type of service or a user"
	case r.SuppressPrefixlen >= 0 || r.SuppressIfgroup >= 0:
		out.Unreadable = "it suppresses some of the table's routes"
	}
	return out
}

func prefix(n *net.IPNet) netip.Prefix {
	if n == nil {
		return netip.Prefix{}
	}
	a, _ := netip.AddrFromSlice(n.IP)
	ones, _ := n.Mask.Size()
	return netip.PrefixFrom(a.Unmap(), ones)
}
