package sgpp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/vpcchain/vpcchain/pkg/procsys"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// host is the kernel of the network namespace in which it was opened.
type host struct {
	nl    netlinksafe.Handle
	dir   string
	index map[string]int // of the links of the last reading, by name
}

func openHost(dir string) (*host, error) {
	h, err := netlinksafe.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("opening netlink: %w", err)
	}
	return &host{nl: h, dir: dir, index: map[string]int{}}, nil
}

func (h *host) read(routes bool) (state, error) {
	var s state
	links, err := h.nl.LinkList()
	if err != nil {
		return s, fmt.Errorf("listing links: %w", err)
	}
	clear(h.index)
	names := make(map[int]string, len(links))
	for _, l := range links {
		s.links = append(s.links, fromLink(l))
		h.index[l.Attrs().Name], names[l.Attrs().Index] = l.Attrs().Index, l.Attrs().Name
	}
	rules, err := h.nl.RuleList(netlink.FAMILY_V4)
	if err != nil {
		return s, fmt.Errorf("listing rules: %w", err)
	}
	for _, r := range rules {
		s.rules = append(s.rules, fromRule(r))
	}
	if routes {
		if s.routes, err = h.routes(names); err != nil {
			return s, err
		}
	}
	if s.sysctls, err = readSysctls(); err == nil {
		s.saved, err = readRecord(h.dir)
		_, half := os.Lstat(halfRecord(h.dir))
		s.halfRecord = half == nil
	}
	return s, err
}

// routes are those of branch tables and of the pods' table.
func (h *host) routes(names map[int]string) ([]route, error) {
	all, err := h.nl.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return nil, fmt.Errorf("listing routes: %w", err)
	}
	var out []route
	for _, r := range all {
		if _, branch := vpcnet.ParseTableBranch(r.Table); !branch && r.Table != vpcnet.TablePods {
			continue
		}
		dst := toPrefix(r.Dst)
		if !dst.IsValid() {
			dst = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		}
		out = append(out, route{Table: r.Table, Dst: dst, Gw: toAddr(r.Gw), Dev: names[r.LinkIndex], Src: toAddr(r.Src)})
	}
	return out, nil
}

func fromLink(l netlink.Link) link {
	a := l.Attrs()
	out := link{
		Index: a.Index, Parent: a.ParentIndex, Name: a.Name, Kind: l.Type(), Alias: a.Alias,
		MAC: a.HardwareAddr.String(), MTU: a.MTU, Up: a.Flags&net.FlagUp != 0,
	}
	if v, ok := l.(*netlink.Vlan); ok {
		out.VLAN = v.VlanId
	}
	return out
}

func fromRule(r netlink.Rule) rule {
	bare := netlink.NewRule()
	bare.Priority, bare.Family, bare.Table, bare.Src, bare.IifName, bare.Protocol = r.Priority, r.Family, r.Table, r.Src, r.IifName, r.Protocol
	return rule{
		Priority: r.Priority, IIF: r.IifName, Src: toPrefix(r.Src), Table: r.Table, Protocol: int(r.Protocol),
		// The library does not tell the action; one that is not a lookup has table 0.
		Plain: r.Table != 0 && r == *bare,
	}
}

func (r rule) toKernel() *netlink.Rule {
	out := netlink.NewRule()
	out.Family, out.Priority, out.Table, out.Protocol = netlink.FAMILY_V4, r.Priority, r.Table, uint8(r.Protocol) //nolint:gosec // read from one byte, or a constant
	out.IifName = r.IIF
	if r.Src.IsValid() {
		out.Src = toIPNet(r.Src)
	}
	return out
}

func (h *host) do(s step) error {
	dev := &netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Name: s.link.Name, Index: s.link.Index}}
	switch s.verb {
	case addLink:
		return h.addVLAN(s.link)
	case noIPv6:
		return noIPv6At(s.link.Name)
	case claim:
		return h.claim(s.link)
	case setMTU:
		return h.nl.LinkSetMTU(dev, s.link.MTU)
	case linkUp:
		return h.nl.LinkSetUp(dev)
	case linkDown:
		return ignore(h.nl.LinkSetDown(dev), unix.ENODEV)
	case delLink:
		return ignore(h.nl.LinkDel(dev), unix.ENODEV)
	case putRoute:
		r, err := h.toKernel(s.route)
		if err != nil {
			return err
		}
		return h.nl.RouteReplace(r)
	case delRoute:
		r := &netlink.Route{Table: s.route.Table, Dst: toIPNet(s.route.Dst), Scope: netlink.SCOPE_NOWHERE} // of any scope
		return ignore(h.nl.RouteDel(r), unix.ESRCH)
	case addRule:
		return ignore(h.nl.RuleAdd(s.rule.toKernel()), unix.EEXIST)
	case delRule:
		return ignore(h.nl.RuleDel(s.rule.toKernel()), unix.ENOENT)
	case save:
		return writeRecord(h.dir, s.saved)
	case setSysctl:
		return procsys.Write(s.sysctl, s.value)
	default:
		return removeRecord(h.dir)
	}
}

// addVLAN makes the link. Its MTU is the trunk's: the tag does not count against
// it, neither in the kernel (VLAN_HLEN) nor on an ENI.
func (h *host) addVLAN(l link) error {
	mac, err := net.ParseMAC(l.MAC)
	if err != nil {
		return err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.ParentIndex, attrs.MTU, attrs.HardwareAddr = l.Name, l.Parent, l.MTU, mac
	v := &netlink.Vlan{LinkAttrs: attrs, VlanId: l.VLAN, VlanProtocol: netlink.VLAN_PROTOCOL_8021Q}
	if err := h.nl.LinkAdd(v); err != nil {
		if errors.Is(err, unix.EOPNOTSUPP) {
			return fmt.Errorf("%w: the kernel has no 802.1Q: load the module 8021q", err)
		}
		return err
	}
	h.index[l.Name] = v.Attrs().Index
	return nil
}

// noIPv6At keeps the node itself out of the branch's subnet: no link-local
// address, no router solicitation, no default route by what a router announces.
func noIPv6At(name string) error {
	err := procsys.Write("net/ipv6/conf/"+name+"/disable_ipv6", "1")
	if errors.Is(err, os.ErrNotExist) {
		return nil // the kernel has no IPv6
	}
	return err
}

// claim sets the alias and UP in one message: a link without alias that is down
// is one that an ADD did not finish. (At creation the kernel ignores IFLA_IFALIAS.)
func (h *host) claim(l link) error {
	req := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_ACK)
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index = int32(h.index[l.Name]) //nolint:gosec // an interface index
	msg.Flags, msg.Change = unix.IFF_UP, unix.IFF_UP
	req.AddData(msg)
	req.AddData(nl.NewRtAttr(unix.IFLA_IFALIAS, []byte(l.Alias)))
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

func (h *host) toKernel(r route) (*netlink.Route, error) {
	index, ok := h.index[r.Dev]
	if !ok {
		return nil, fmt.Errorf("link %s: %w", r.Dev, unix.ENODEV)
	}
	out := &netlink.Route{
		Table: r.Table, Dst: toIPNet(r.Dst), LinkIndex: index, Scope: netlink.SCOPE_LINK, Protocol: vpcnet.RouteProtocol,
	}
	if r.Gw.IsValid() {
		out.Gw, out.Scope = r.Gw.AsSlice(), netlink.SCOPE_UNIVERSE
	}
	if r.Src.IsValid() {
		out.Src = r.Src.AsSlice()
	}
	return out, nil
}

// ignore turns the error that says that the kernel is so already into none.
func ignore(err error, benign unix.Errno) error {
	if errors.Is(err, benign) {
		return nil
	}
	return err
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

func toIPNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
