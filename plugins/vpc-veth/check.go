package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/containernetworking/cni/pkg/skel"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vpcchain/vpcchain/pkg/cnierr"
	"github.com/vpcchain/vpcchain/pkg/netconf"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

func check(args *skel.CmdArgs) error { return cnierr.From(doCheck(args)) }

// doCheck compares the kernel with what ADD promised and names the first
// difference. It looks at what later plugins leave alone: MAC and MTU of the
// pod's end may have been tuned since.
func doCheck(args *skel.CmdArgs) error {
	c, err := parse(args.StdinData)
	if err != nil {
		return err
	}
	prev, err := netconf.PrevResult(args.StdinData)
	if err != nil {
		return err
	}
	k, err := open(args.Netns)
	if err != nil {
		return err
	}
	host, err := k.checkPair(c, args)
	if err != nil {
		return err
	}
	inside, err := k.pod.LinkByName(args.IfName)
	if err != nil {
		return fmt.Errorf("finding %s in the pod: %w", args.IfName, err)
	}
	addrs := podAddrs(prev, args.IfName)
	if len(addrs) == 0 {
		return cnierr.New(cnierr.Config, "prevResult has no address on %s", args.IfName)
	}
	for _, a := range addrs {
		if err := k.checkAddr(inside, a); err != nil {
			return err
		}
	}
	if err := k.checkWayOut(inside, host, len(prev.Routes) > 0); err != nil {
		return err
	}
	if carrier := branchOf(prev); carrier {
		return nil // the host side is vpc-sgpp's to check
	}
	return k.checkHost(host, addrs)
}

func podAddrs(prev *types100.Result, ifname string) []netip.Addr {
	var out []netip.Addr
	for _, ip := range prev.IPs {
		if i := ip.Interface; i != nil && (*i < 0 || *i >= len(prev.Interfaces) || prev.Interfaces[*i].Name != ifname) {
			continue
		}
		if a, ok := netip.AddrFromSlice(ip.Address.IP); ok {
			out = append(out, a.Unmap())
		}
	}
	return out
}

// branchOf tells whether prevResult announces a branch ENI.
func branchOf(prev *types100.Result) bool {
	for _, i := range prev.Interfaces {
		if i.Sandbox == "" && strings.HasPrefix(i.Name, vpcnet.BranchPrefix) {
			return true
		}
	}
	return false
}

func (k *kernel) checkPair(c conf, args *skel.CmdArgs) (netlink.Link, error) {
	name := c.hostVethName(args)
	host, err := k.host.LinkByName(name)
	if err != nil {
		return nil, fmt.Errorf("finding host veth %s: %w", name, err)
	}
	if want := c.attachment(args).Alias(); host.Attrs().Alias != want {
		return nil, fmt.Errorf("host veth %s has alias %q, not %q", name, host.Attrs().Alias, want)
	}
	if host.Attrs().Flags&net.FlagUp == 0 {
		return nil, fmt.Errorf("host veth %s is down", name)
	}
	return host, nil
}

func (k *kernel) checkAddr(inside netlink.Link, a netip.Addr) error {
	addrs, err := k.pod.AddrList(inside, netlink.FAMILY_V4)
	if err != nil {
		return fmt.Errorf("listing the pod's addresses: %w", err)
	}
	want := vpcnet.Host(a).String()
	for _, have := range addrs {
		if have.IPNet.String() == want {
			return nil
		}
	}
	return fmt.Errorf("%s has no address %s in the pod", inside.Attrs().Name, want)
}

func (k *kernel) checkWayOut(inside, host netlink.Link, routed bool) error {
	gw := vpcnet.PodGateway()
	neighs, err := k.pod.NeighList(inside.Attrs().Index, netlink.FAMILY_V4)
	if err != nil {
		return fmt.Errorf("listing the pod's neighbours: %w", err)
	}
	found := false
	for _, n := range neighs {
		if n.IP.String() != gw.String() {
			continue
		}
		found = n.HardwareAddr.String() == host.Attrs().HardwareAddr.String() && n.State&netlink.NUD_PERMANENT != 0
	}
	if !found {
		return fmt.Errorf("the pod has no permanent neighbour %s with the host veth's MAC %s", gw, host.Attrs().HardwareAddr)
	}
	if !routed {
		return nil
	}
	// A route lookup, not a comparison of routes: another plugin may have added its own.
	routes, err := k.pod.RouteGet(gw.AsSlice())
	if err != nil || len(routes) == 0 || routes[0].LinkIndex != inside.Attrs().Index {
		return fmt.Errorf("the pod has no route to %s by %s", gw, inside.Attrs().Name)
	}
	all := &net.IPNet{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}
	have, err := k.pod.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Dst: all}, netlink.RT_FILTER_DST)
	if err != nil {
		return fmt.Errorf("listing the pod's default routes: %w", err)
	}
	for _, r := range have {
		if r.LinkIndex == inside.Attrs().Index && r.Gw.String() == gw.String() {
			return nil
		}
	}
	return fmt.Errorf("the pod has no default route via %s", gw)
}

func (k *kernel) checkHost(host netlink.Link, addrs []netip.Addr) error {
	filter := &netlink.Route{Table: vpcnet.TablePods, LinkIndex: host.Attrs().Index}
	routes, err := k.host.RouteListFiltered(netlink.FAMILY_V4, filter, netlink.RT_FILTER_TABLE|netlink.RT_FILTER_OIF)
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("listing table %d: %w", vpcnet.TablePods, err)
	}
	have := map[string]bool{}
	for _, r := range routes {
		have[r.Dst.String()] = true
	}
	for _, a := range addrs {
		if !have[vpcnet.Host(a).String()] {
			return fmt.Errorf("table %d has no route to %s by %s", vpcnet.TablePods, a, host.Attrs().Name)
		}
	}
	rules, err := k.host.RuleListFiltered(netlink.FAMILY_V4,
		&netlink.Rule{Priority: vpcnet.RulePods, Table: vpcnet.TablePods}, netlink.RT_FILTER_PRIORITY|netlink.RT_FILTER_TABLE)
	if err != nil {
		return fmt.Errorf("listing rules: %w", err)
	}
	if len(rules) == 0 {
		return fmt.Errorf("rule %d (from all lookup %d) is missing", vpcnet.RulePods, vpcnet.TablePods)
	}
	return nil
}
