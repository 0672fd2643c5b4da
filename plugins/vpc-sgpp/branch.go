package main

import (
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/containernetworking/cni/pkg/skel"
	types100 "github.com/containernetworking/cni/pkg/types/100"

	"github.com/vpcchain/vpcchain/pkg/cnierr"
	"github.com/vpcchain/vpcchain/pkg/sgpp"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// announced is what prevResult tells of a branch ENI.
type announced struct {
	branch   sgpp.Branch // without mode
	trunkMAC string      // empty if prevResult has no trunk
}

// announcedBy reads prevResult: the host veth, the pod's interface, the trunk ENI
// and the branch, in this order; nil without a branch.
func announcedBy(prev *types100.Result, network string, args *skel.CmdArgs) (*announced, error) {
	isBranch := func(i *types100.Interface) bool {
		return i.Sandbox == "" && strings.HasPrefix(i.Name, vpcnet.BranchPrefix)
	}
	at := slices.IndexFunc(prev.Interfaces, isBranch)
	if at < 0 {
		return nil, nil //nolint:nilnil // no branch, no error
	}
	is := prev.Interfaces[at]
	vlan, ok := vpcnet.ParseBranchLink(is.Name)
	if !ok {
		return nil, cnierr.New(cnierr.Config, "prevResult has the branch ENI %q: its name must end with a VLAN id from 1 to %d", is.Name, vpcnet.MaxVLAN)
	}
	if i := slices.IndexFunc(prev.Interfaces[at+1:], isBranch); i >= 0 {
		return nil, cnierr.New(cnierr.Config, "prevResult has two branch ENIs, %s and %s: an interface has one", is.Name, prev.Interfaces[at+1+i].Name)
	}
	a := &announced{branch: sgpp.Branch{
		Attachment: vpcnet.Attachment{Network: network, ContainerID: args.ContainerID, IfName: args.IfName},
		VLAN:       vlan, MAC: lower(is.Mac),
	}}
	inside := slices.IndexFunc(prev.Interfaces[:at], func(i *types100.Interface) bool { return i.Name == args.IfName && i.Sandbox != "" })
	if inside < 1 || prev.Interfaces[inside-1].Sandbox != "" {
		return nil, cnierr.New(cnierr.Config, "prevResult has the branch ENI %s and no host veth before %s: vpc-veth must stand before vpc-sgpp", is.Name, args.IfName)
	}
	a.branch.HostVeth = prev.Interfaces[inside-1].Name
	for _, i := range prev.Interfaces[inside+1 : at] {
		if i.Sandbox == "" && strings.HasPrefix(i.Name, "eni-") {
			a.trunkMAC = lower(i.Mac)
		}
	}
	return a, a.address(prev, inside)
}

// address takes the first address of the pod's interface.
func (a *announced) address(prev *types100.Result, inside int) error {
	for _, ip := range prev.IPs {
		if ip.Interface != nil && *ip.Interface != inside {
			continue
		}
		addr, _ := netip.AddrFromSlice(ip.Address.IP)
		gw, _ := netip.AddrFromSlice(ip.Gateway)
		a.branch.Addr, a.branch.Gateway = addr.Unmap(), gw.Unmap()
		return nil
	}
	return cnierr.New(cnierr.Config, "prevResult has the branch ENI %s and no address on %s", a.branch.Link(), prev.Interfaces[inside].Name)
}

// lower is the kernel's way of writing a MAC address; what is none stays for
// Validate to refuse.
func lower(text string) string {
	mac, err := net.ParseMAC(text)
	if err != nil {
		return text
	}
	return mac.String()
}
