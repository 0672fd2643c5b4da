package fabric

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vpcchain/vpcchain/integration/vpcsim/network"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// addressRoutes makes every address of the VPC reachable at its ENI, and no other.
func (f *Fabric) addressRoutes(v network.VPC) error {
	want := map[netip.Prefix]string{}
	for _, p := range v.Ports {
		for _, a := range portPrefixes(p) {
			want[a] = portName(p)
		}
	}
	var errs []error
	for a, name := range f.addrs {
		if want[a] == name {
			continue
		}
		if err := f.dropAddress(a, name); err != nil {
			errs = append(errs, fmt.Errorf("removing the route to %s: %w", a, err))
			continue
		}
		delete(f.addrs, a)
	}
	for _, p := range v.Ports {
		if l := f.ports[p.ENI]; l != nil && l.plugged {
			errs = append(errs, f.addresses(l))
		}
	}
	return errors.Join(errs...)
}

func (f *Fabric) dropAddress(a netip.Prefix, name string) error {
	link, err := f.nl.LinkByName(name)
	if err != nil {
		return err
	}
	if err := f.nl.RouteDel(route(a, link.Attrs().Index, vpcTable)); err != nil && !errors.Is(err, unix.ESRCH) {
		return err
	}
	for _, n := range expand(a) {
		err := f.nl.NeighDel(&netlink.Neigh{LinkIndex: link.Attrs().Index, IP: n.AsSlice()})
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return err
		}
	}
	return nil
}

func portPrefixes(p network.Port) []netip.Prefix {
	out := []netip.Prefix{vpcnet.Host(p.Primary)}
	for _, a := range p.Addresses {
		out = append(out, vpcnet.Host(a))
	}
	return append(out, p.Prefixes...)
}

func expand(p netip.Prefix) []netip.Addr {
	var out []netip.Addr
	for a := p.Masked().Addr(); p.Contains(a); a = a.Next() {
		out = append(out, a)
	}
	return out
}

// addresses adds the routes and neighbours of a port that are missing. The
// neighbours are permanent: a pod's address answers no ARP on the ENI, and the
// real VPC asks none either, since EC2 knows which ENI has it.
func (f *Fabric) addresses(p *port) error {
	mac, err := net.ParseMAC(p.MAC)
	if err != nil {
		return err
	}
	var link netlink.Link
	for _, a := range portPrefixes(p.Port) {
		if f.addrs[a] == p.name {
			continue
		}
		if link == nil {
			if link, err = f.nl.LinkByName(p.name); err != nil {
				return fmt.Errorf("finding the port of %s: %w", p.ENI, err)
			}
		}
		for _, n := range expand(a) {
			if err := f.nl.NeighSet(&netlink.Neigh{
				LinkIndex: link.Attrs().Index, State: netlink.NUD_PERMANENT, IP: n.AsSlice(), HardwareAddr: mac,
			}); err != nil {
				return fmt.Errorf("adding the neighbour %s: %w", n, err)
			}
		}
		if err := f.nl.RouteReplace(route(a, link.Attrs().Index, vpcTable)); err != nil {
			return fmt.Errorf("adding the route to %s: %w", a, err)
		}
		f.addrs[a] = p.name
	}
	return nil
}
