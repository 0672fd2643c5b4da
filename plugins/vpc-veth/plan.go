package main

import (
	"crypto/rand"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"

	"github.com/vpcchain/vpcchain/pkg/cnierr"
	"github.com/vpcchain/vpcchain/pkg/netconf"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// plan is everything that ADD makes, as a value.
type plan struct {
	attachment vpcnet.Attachment
	hostVeth   string
	hostMAC    net.HardwareAddr
	podMAC     net.HardwareAddr
	mtu        int // 0: the link that leads out decides
	addrs      []netip.Addr
	nodeIP     netip.Addr // source of the node's packets to the pod; may be invalid
	// branch: the addresses are of a branch ENI. The host side of such a pod is
	// vpc-sgpp's, which brings the host veth up last: a chain without it is closed.
	branch bool
}

// String lists the kernel objects in the order in which they are made.
func (p plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "veth %s mac %s mtu %d peer %s mac %s\n", p.hostVeth, p.hostMAC, p.mtu, p.attachment.IfName, p.podMAC)
	for _, a := range p.addrs {
		fmt.Fprintf(&b, "pod: address %s\n", vpcnet.Host(a))
	}
	gw := vpcnet.PodGateway()
	fmt.Fprintf(&b, "pod: route %s scope link; default via %s; neighbour %s %s permanent\n", gw, gw, gw, p.hostMAC)
	if p.branch {
		fmt.Fprintf(&b, "host: alias %s, down\n", p.attachment)
		return b.String()
	}
	fmt.Fprintf(&b, "host: alias %s, up\n", p.attachment)
	for _, a := range p.addrs {
		fmt.Fprintf(&b, "host: route %s dev %s table %d", vpcnet.Host(a), p.hostVeth, vpcnet.TablePods)
		if p.nodeIP.IsValid() {
			fmt.Fprintf(&b, " src %s", p.nodeIP)
		}
		fmt.Fprintln(&b)
	}
	fmt.Fprintf(&b, "host: rule %d from all lookup %d\n", vpcnet.RulePods, vpcnet.TablePods)
	return b.String()
}

// hostVethName is the name that ADD gives and DEL looks for.
func (c conf) hostVethName(args *skel.CmdArgs) string {
	pod := netconf.PodOf(args.Args)
	return vpcnet.HostVethName(c.vethPrefix, pod.Namespace, pod.Name, args.ContainerID, args.IfName)
}

func (c conf) attachment(args *skel.CmdArgs) vpcnet.Attachment {
	return vpcnet.Attachment{Network: c.network, ContainerID: args.ContainerID, IfName: args.IfName}
}

func newPlan(c conf, args *skel.CmdArgs, prev *types100.Result) (plan, error) {
	p := plan{attachment: c.attachment(args), hostVeth: c.hostVethName(args), mtu: c.mtu, nodeIP: c.nodeIP}
	if alias := p.attachment.Alias(); len(alias) > vpcnet.MaxAlias {
		return plan{}, cnierr.New(cnierr.Config, "network name %q: with the container id it exceeds the %d characters of a link's alias", c.network, vpcnet.MaxAlias)
	}
	for _, ip := range prev.IPs {
		a, ok := netip.AddrFromSlice(ip.Address.IP)
		if a = a.Unmap(); !ok || !a.Is4() {
			return plan{}, cnierr.New(cnierr.Config, "prevResult has the address %v: only IPv4 is served", ip.Address.IP)
		}
		p.addrs = append(p.addrs, a)
	}
	if len(p.addrs) == 0 {
		return plan{}, cnierr.New(cnierr.Config, "prevResult has no address: a plugin such as vpc-ipam, static or host-local must stand before vpc-veth")
	}
	if carrier := carrierOf(prev); carrier != nil {
		p.branch = strings.HasPrefix(carrier.Name, vpcnet.BranchPrefix)
		if p.mtu == 0 {
			p.mtu = carrier.Mtu
		}
	}
	if p.mtu == 0 {
		p.mtu = c.nodeMTU
	}
	var err error
	if p.hostMAC, err = randomMAC(); err == nil {
		p.podMAC, err = randomMAC()
	}
	return p, err
}

// carrierOf is the ENI that the first address points at.
func carrierOf(r *types100.Result) *types100.Interface {
	if i := r.IPs[0].Interface; i != nil && *i >= 0 && *i < len(r.Interfaces) && r.Interfaces[*i].Sandbox == "" {
		return r.Interfaces[*i]
	}
	return nil
}

// randomMAC is unicast and locally administered. It is given at creation, so
// that udev has none to assign and the pod's neighbour entry stays true.
func randomMAC() (net.HardwareAddr, error) {
	mac := make(net.HardwareAddr, 6)
	if _, err := rand.Read(mac); err != nil {
		return nil, fmt.Errorf("making a MAC address: %w", err)
	}
	mac[0] = mac[0]&^1 | 2
	return mac, nil
}

// result is prevResult with the pair before what was received, the addresses
// on the pod's interface, and the pod's real routes.
func (p plan) result(prev *types100.Result, netns string, routed bool) *types100.Result {
	out := *prev
	out.CNIVersion = types100.ImplementedSpecVersion
	out.Interfaces = append([]*types100.Interface{
		{Name: p.hostVeth, Mac: p.hostMAC.String(), Mtu: p.mtu},
		{Name: p.attachment.IfName, Mac: p.podMAC.String(), Mtu: p.mtu, Sandbox: netns},
	}, prev.Interfaces...)
	out.IPs = nil
	for _, ip := range prev.IPs {
		moved := *ip
		moved.Interface = new(1)
		out.IPs = append(out.IPs, &moved)
	}
	out.Routes = nil
	if routed {
		gw := vpcnet.PodGateway()
		link := 253 // RT_SCOPE_LINK
		out.Routes = []*types.Route{
			{Dst: ipNet(vpcnet.Host(gw)), Scope: &link},
			{Dst: net.IPNet{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}, GW: gw.AsSlice()},
		}
	}
	return &out
}

func ipNet(p netip.Prefix) net.IPNet {
	return net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
