package fabric

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vpcchain/vpcchain/integration/vpcsim/netns"
	"github.com/vpcchain/vpcchain/integration/vpcsim/network"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// port makes the link of an ENI, now or after the delay, and its rule.
func (f *Fabric) port(p network.Port, v network.VPC) error {
	old, have := f.ports[p.ENI]
	f.ports[p.ENI] = p
	if have && old.Host == p.Host && old.Link == p.Link {
		return nil
	}
	if have {
		f.unplug(old)
		f.ports[p.ENI] = p
	}
	table := 0
	for _, s := range v.Subnets {
		if s.ID == p.Subnet {
			table = firstTable + slices.IndexFunc(v.RouteTables, func(rt network.RouteTable) bool { return rt.ID == s.RouteTable })
		}
	}
	name := portLink("p", p.ENI)
	if err := f.rule(subnetRule, name, table); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("adding its rule: %w", err)
	}
	f.rules[name] = table
	if f.linkDelay > 0 && p.Device > 0 {
		f.late[p.ENI] = time.AfterFunc(f.linkDelay, func() { f.arrive(p.ENI) })
		return nil
	}
	return f.plug(p)
}

// arrive makes a late link, unless the ENI was detached meanwhile.
func (f *Fabric) arrive(eni string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p, ok := f.ports[eni]
	if !ok || f.late[eni] == nil {
		return
	}
	delete(f.late, eni)
	if err := f.plug(p); err != nil {
		return // the instance waits for a link that never comes: visible there
	}
	_ = f.addresses(p)
}

// plug makes the veth pair, the host's end directly in the host's namespace:
// named, with the ENI's MAC, and down, as a hot-plugged device.
func (f *Fabric) plug(p network.Port) error {
	mac, err := net.ParseMAC(p.MAC)
	if err != nil {
		return err
	}
	return f.pair(portLink("p", p.ENI), p.Link, p.Host, mac, p.MTU)
}

func (f *Fabric) pair(portName, hostName, host string, mac net.HardwareAddr, mtu int) error {
	hostNS, err := ns.GetNS(f.hosts(host))
	if err != nil {
		return err
	}
	defer func() { _ = hostNS.Close() }()
	veth := netlink.NewVeth(netlink.NewLinkAttrs())
	veth.Name, veth.MTU = portName, mtu
	veth.PeerName, veth.PeerHardwareAddr, veth.PeerMTU = hostName, mac, uint32(mtu)
	veth.PeerNamespace = netlink.NsFd(int(hostNS.Fd()))
	if err := f.nl.LinkAdd(veth); err != nil {
		return fmt.Errorf("making the link %s: %w", hostName, err)
	}
	err = netns.Do(f.ns, func() error {
		for path, value := range map[string]string{
			// The VPC answers ARP for every address it can route to, and at once.
			"net/ipv4/conf/" + portName + "/proxy_arp":    "1",
			"net/ipv4/neigh/" + portName + "/proxy_delay": "0",
		} {
			if err := sysctl(path, value); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return f.nl.LinkSetUp(veth)
}

func (f *Fabric) plugExternal(e External) error {
	return f.pair(portLink("x", e.Name), "eth0", e.Name, nil, externalMTU)
}

// unplug removes what belongs to the port; the kernel drops the routes and
// neighbours of a link that goes.
func (f *Fabric) unplug(p network.Port) {
	if t := f.late[p.ENI]; t != nil {
		t.Stop()
		delete(f.late, p.ENI)
	}
	name := portLink("p", p.ENI)
	if link, err := f.nl.LinkByName(name); err == nil {
		_ = f.nl.LinkDel(link)
	}
	if table, ok := f.rules[name]; ok {
		r := netlink.NewRule()
		r.Family, r.Priority, r.IifName, r.Table = netlink.FAMILY_V4, subnetRule, name, table
		_ = f.nl.RuleDel(r)
		delete(f.rules, name)
	}
	for a, id := range f.addrs {
		if id == p.ENI {
			delete(f.addrs, a)
		}
	}
	delete(f.ports, p.ENI)
}

// routes makes every address of the VPC reachable at its ENI, and no other.
func (f *Fabric) routes(v network.VPC) error {
	want := map[netip.Prefix]string{}
	for _, p := range v.Ports {
		for _, a := range portPrefixes(p) {
			want[a] = p.ENI
		}
	}
	for a, id := range f.addrs {
		if want[a] == id {
			continue
		}
		if link, err := f.nl.LinkByName(portLink("p", id)); err == nil {
			_ = f.nl.RouteDel(route(a, link.Attrs().Index, vpcTable))
			for _, n := range expand(a) {
				_ = f.nl.NeighDel(&netlink.Neigh{LinkIndex: link.Attrs().Index, IP: n.AsSlice()})
			}
		}
		delete(f.addrs, a)
	}
	for _, p := range v.Ports {
		if f.late[p.ENI] == nil {
			if err := f.addresses(p); err != nil {
				return err
			}
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
func (f *Fabric) addresses(p network.Port) error {
	mac, err := net.ParseMAC(p.MAC)
	if err != nil {
		return err
	}
	var link netlink.Link
	for _, a := range portPrefixes(p) {
		if f.addrs[a] == p.ENI {
			continue
		}
		if link == nil {
			if link, err = f.nl.LinkByName(portLink("p", p.ENI)); err != nil {
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
		f.addrs[a] = p.ENI
	}
	return nil
}
