package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/vpcchain/vpcchain/pkg/carrier"
	"github.com/vpcchain/vpcchain/pkg/cnierr"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// kernel is the two ends that an ADD works on.
type kernel struct {
	host  netlinksafe.Handle
	pod   netlinksafe.Handle
	podFD int
}

func open(path string) (*kernel, error) {
	fd, err := netns.GetFromPath(path)
	if err != nil {
		return nil, cnierr.New(cnierr.Netns, "opening network namespace %s: %w", path, err)
	}
	k := &kernel{podFD: int(fd)}
	if k.host, err = netlinksafe.NewHandle(unix.NETLINK_ROUTE); err == nil {
		k.pod, err = netlinksafe.NewHandleAt(fd, unix.NETLINK_ROUTE)
	}
	if err != nil {
		return nil, fmt.Errorf("opening netlink: %w", err)
	}
	return k, nil
}

// apply makes what the plan says. On error nothing of it is left. routed tells
// whether the pod got its default route from here.
func (k *kernel) apply(p *plan) (routed bool, err error) {
	if p.mtu == 0 {
		if p.mtu, err = k.mtuOut(); err != nil {
			return false, err
		}
	}
	if err := k.pair(p); err != nil {
		return false, err
	}
	host, err := k.host.LinkByName(p.hostVeth)
	if errors.As(err, &netlink.LinkNotFoundError{}) || err == nil && host.Attrs().HardwareAddr.String() != p.hostMAC.String() {
		return false, p.replaced()
	}
	if err != nil {
		return false, fmt.Errorf("finding link %s: %w", p.hostVeth, err)
	}
	defer func() {
		if err != nil {
			err = k.undo(p, host.Attrs().Index, err)
		}
	}()
	if routed, err = k.configurePod(p); err != nil {
		return false, fmt.Errorf("configuring %s in the pod: %w", p.attachment.IfName, err)
	}
	if err = k.configureHost(p, host.Attrs().Index); err != nil || p.branch {
		return routed, err // vpc-sgpp brings a branch pod's link up
	}
	return routed, carrier.Await(k.pod, p.attachment.IfName)
}

// replaced is the error of an ADD whose pair another sandbox of the same pod
// removed, because it took the name: there is nothing to undo.
func (p *plan) replaced() error {
	return cnierr.New(cnierr.TryAgain, "making link %s: another sandbox of the pod took the name meanwhile", p.hostVeth)
}

// undo removes the pair, by index: a link of the same name may by now be another sandbox's.
func (k *kernel) undo(p *plan, index int, err error) error {
	if _, lerr := k.host.LinkByIndex(index); errors.As(lerr, &netlink.LinkNotFoundError{}) {
		return p.replaced()
	}
	return errors.Join(err, k.remove(index))
}

// pair makes both ends in their final namespaces with one message: moving an
// end afterwards would wait for an RCU grace period under RTNL, tens of
// milliseconds that all pods of the node queue for.
func (k *kernel) pair(p *plan) error {
	err := k.create(p)
	if !errors.Is(err, unix.EEXIST) {
		return wrap(err, "making link %s", p.hostVeth)
	}
	if _, perr := k.pod.LinkByName(p.attachment.IfName); perr == nil {
		return cnierr.New(cnierr.Config, "%s exists in the pod's network namespace already", p.attachment.IfName)
	}
	if err := k.clearName(p); err != nil {
		return err
	}
	if err = k.create(p); errors.Is(err, unix.EEXIST) {
		return p.replaced()
	}
	return wrap(err, "making link %s", p.hostVeth)
}

func wrap(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf(format+": %w", append(args, err)...)
}

func (k *kernel) create(p *plan) error {
	v := netlink.NewVeth(netlink.NewLinkAttrs())
	v.Name, v.MTU, v.HardwareAddr = p.hostVeth, p.mtu, p.hostMAC
	v.PeerName, v.PeerMTU, v.PeerHardwareAddr = p.attachment.IfName, uint32(p.mtu), p.podMAC
	v.PeerNamespace = netlink.NsFd(k.podFD)
	return k.host.LinkAdd(v)
}

// clearName removes a link that holds the name: an old sandbox of the pod
// (another attachment's alias), or one half-made by an ADD that was killed (no
// alias and down). Any other link is not ours to remove.
func (k *kernel) clearName(p *plan) error {
	l, err := k.host.LinkByName(p.hostVeth)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("finding link %s: %w", p.hostVeth, err)
	}
	_, ours := vpcnet.ParseAlias(l.Attrs().Alias)
	half := l.Attrs().Alias == "" && l.Attrs().Flags&net.FlagUp == 0
	if l.Type() != "veth" || !ours && !half {
		return cnierr.New(cnierr.IO, "link %s exists and is not this plugin's (%s, alias %q): remove or rename it", p.hostVeth, l.Type(), l.Attrs().Alias)
	}
	if err := k.remove(l.Attrs().Index); err != nil {
		return err
	}
	return k.forgetBranch(p.hostVeth)
}

// forgetBranch removes rules by which an old sandbox of the pod used a branch ENI
// (vpc-sgpp's, whose DEL is late): they name the link, and would take the packets
// of the one that gets the name now.
func (k *kernel) forgetBranch(name string) error {
	r := netlink.NewRule() // of any table
	r.Family, r.Priority, r.IifName, r.Protocol = netlink.FAMILY_V4, vpcnet.RuleBranch, name, vpcnet.RouteProtocol
	for {
		err := k.host.RuleDel(r)
		if errors.Is(err, unix.ENOENT) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("removing rule %d of %s: %w", vpcnet.RuleBranch, name, err)
		}
	}
}

// remove deletes a link by index; the kernel drops its routes, addresses and
// neighbours, and the other end. One that is gone already is a success.
func (k *kernel) remove(index int) error {
	err := k.host.LinkDel(&netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: index}})
	if err == nil || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return fmt.Errorf("removing link %d: %w", index, err)
}

// configurePod gives the pod's end its address, the way out and the neighbour
// that nobody would answer for. A second interface leaves a default route that
// exists alone.
func (k *kernel) configurePod(p *plan) (routed bool, err error) {
	l, err := k.pod.LinkByName(p.attachment.IfName)
	if err != nil {
		return false, fmt.Errorf("finding it: %w", err)
	}
	index := l.Attrs().Index
	if err := k.pod.LinkSetUp(l); err != nil {
		return false, fmt.Errorf("bringing it up: %w", err)
	}
	for _, a := range p.addrs {
		n := ipNet(vpcnet.Host(a))
		if err := k.pod.AddrAdd(l, &netlink.Addr{IPNet: &n}); err != nil {
			return false, fmt.Errorf("adding address %s: %w", a, err)
		}
	}
	gw := vpcnet.PodGateway()
	if err := k.pod.NeighSet(&netlink.Neigh{
		LinkIndex: index, State: netlink.NUD_PERMANENT, IP: gw.AsSlice(), HardwareAddr: p.hostMAC,
	}); err != nil {
		return false, fmt.Errorf("adding neighbour %s: %w", gw, err)
	}
	onLink := ipNet(vpcnet.Host(gw))
	for _, r := range []*netlink.Route{
		{LinkIndex: index, Dst: &onLink, Scope: netlink.SCOPE_LINK},
		{LinkIndex: index, Gw: gw.AsSlice(), Dst: &net.IPNet{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}},
	} {
		err := k.pod.RouteAdd(r)
		if errors.Is(err, unix.EEXIST) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("adding route %s: %w", r.Dst, err)
		}
	}
	return true, nil
}

func (k *kernel) configureHost(p *plan, index int) error {
	if err := k.commit(index, p.attachment.Alias(), !p.branch); err != nil {
		return fmt.Errorf("setting alias of %s: %w", p.hostVeth, err)
	}
	if p.branch {
		return nil
	}
	for _, a := range p.addrs {
		if err := k.host.RouteReplace(podRoute(a, p.nodeIP, index)); err != nil {
			return fmt.Errorf("adding route to %s: %w", a, err)
		}
	}
	if err := k.host.RuleAdd(podsRule()); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("adding rule %d: %w", vpcnet.RulePods, err)
	}
	return nil
}

// commit sets the alias and UP in one message: a host veth without alias is one
// that an ADD did not finish. (At creation the kernel ignores IFLA_IFALIAS.)
func (k *kernel) commit(index int, alias string, up bool) error {
	req := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_ACK)
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index = int32(index)
	if up {
		msg.Flags, msg.Change = unix.IFF_UP, unix.IFF_UP
	}
	req.AddData(msg)
	req.AddData(nl.NewRtAttr(unix.IFLA_IFALIAS, []byte(alias)))
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

func podRoute(a, src netip.Addr, index int) *netlink.Route {
	dst := ipNet(vpcnet.Host(a))
	r := &netlink.Route{
		LinkIndex: index, Dst: &dst, Table: vpcnet.TablePods, Scope: netlink.SCOPE_LINK, Protocol: vpcnet.RouteProtocol,
	}
	// Without it the node would talk to pods from the address of whichever link came first.
	if src.IsValid() {
		r.Src = src.AsSlice()
	}
	return r
}

func podsRule() *netlink.Rule {
	r := netlink.NewRule()
	r.Family, r.Priority, r.Table, r.Protocol = netlink.FAMILY_V4, vpcnet.RulePods, vpcnet.TablePods, vpcnet.RouteProtocol
	return r
}

// mtuOut is the MTU of the link that leads out, found by one route lookup.
func (k *kernel) mtuOut() (int, error) {
	routes, err := k.host.RouteGet(net.IPv4(192, 0, 2, 1)) // TEST-NET-1: any address outside
	if err != nil || len(routes) == 0 {
		return 0, cnierr.New(cnierr.Config, "the node has no default route to take an MTU from: set mtu in the conflist (%w)", err)
	}
	l, err := k.host.LinkByIndex(routes[0].LinkIndex)
	if err != nil {
		return 0, fmt.Errorf("finding the link that leads out: %w", err)
	}
	return l.Attrs().MTU, nil
}

// forward turns on forwarding where no daemon does.
func forward() error {
	const path = "/proc/sys/net/ipv4/ip_forward"
	raw, err := os.ReadFile(path)
	if err == nil && strings.TrimSpace(string(raw)) != "1" {
		err = os.WriteFile(path, []byte("1"), 0o644)
	}
	if err != nil {
		return cnierr.New(cnierr.IO, "turning on net.ipv4.ip_forward: %w", err)
	}
	return nil
}
