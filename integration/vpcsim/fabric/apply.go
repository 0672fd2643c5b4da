package fabric

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vpcchain/vpcchain/integration/vpcsim/netns"
	"github.com/vpcchain/vpcchain/integration/vpcsim/network"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// Apply makes the network what the plan says. On error the rest is still done,
// and the next Apply tries again what failed.
func (f *Fabric) Apply(v network.VPC) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return errors.New("the fabric is closed")
	}
	errs := []error{f.subnets(v), f.lost()}
	want := map[string]bool{}
	for _, p := range v.Ports {
		want[p.ENI] = true
	}
	for id, l := range f.ports {
		if want[id] {
			continue
		}
		if err := f.unplug(l); err != nil {
			errs = append(errs, fmt.Errorf("removing the port of %s in %s: %w", id, l.Host, err))
		}
	}
	numbers := f.numbers(v)
	for _, p := range trunksFirst(v.Ports) {
		if err := f.port(p, numbers[p.Subnet]); err != nil {
			errs = append(errs, fmt.Errorf("port of %s in %s: %w", p.ENI, p.Host, err))
		}
	}
	// The routes after the ports: they name the ports' links.
	errs = append(errs, f.addressRoutes(v), f.tableRoutes(v), f.filter(v))
	return errors.Join(errs...)
}

// subnets makes the routers' addresses.
func (f *Fabric) subnets(v network.VPC) error {
	lo, err := f.nl.LinkByName("lo")
	if err != nil {
		return err
	}
	var errs []error
	for _, s := range v.Subnets {
		errs = append(errs, f.addLocal(lo, vpcnet.Router(s.CIDR)))
	}
	return errors.Join(errs...)
}

// numbers gives every route table a number that it keeps, and returns that of
// each subnet's table.
func (f *Fabric) numbers(v network.VPC) map[string]int {
	for _, rt := range v.RouteTables {
		if _, ok := f.tables[rt.ID]; !ok {
			f.tables[rt.ID] = firstTable + len(f.tables)
		}
	}
	out := map[string]int{}
	for _, s := range v.Subnets {
		out[s.ID] = f.tables[s.RouteTable]
	}
	return out
}

// routeKey is a route of a subnet route table, hop where it leads.
type routeKey struct {
	table int
	dst   netip.Prefix
}

type hop struct {
	link string
	via  netip.Addr // invalid: whoever has the destination is on the link
}

// tableRoutes makes the routes of the subnet route tables, and removes those
// that the plan has no more.
func (f *Fabric) tableRoutes(v network.VPC) error {
	want := map[routeKey]hop{}
	for _, rt := range v.RouteTables {
		f.hops(want, f.tables[rt.ID], rt.Routes, v.Ports)
	}
	var errs []error
	for k := range f.routes {
		if _, ok := want[k]; ok {
			continue
		}
		// ESRCH: the kernel removed it together with its link.
		gone := &netlink.Route{Dst: ipnet(k.dst), Table: k.table, Scope: netlink.SCOPE_NOWHERE} // nowhere: of any scope
		if err := f.nl.RouteDel(gone); err != nil && !errors.Is(err, unix.ESRCH) {
			errs = append(errs, fmt.Errorf("removing the route to %s: %w", k.dst, err))
			continue
		}
		delete(f.routes, k)
	}
	for k, h := range want {
		if have, ok := f.routes[k]; ok && have == h {
			continue
		}
		if err := f.hop(k, h); err != nil {
			errs = append(errs, fmt.Errorf("adding the route to %s through %s: %w", k.dst, h.link, err))
			continue
		}
		f.routes[k] = h
	}
	return errors.Join(errs...)
}

// hops writes down where the routes of a table lead. Behind a gateway there are
// only the external hosts; the rest of a route's destination goes to the void,
// so that no wider route takes it.
func (f *Fabric) hops(out map[routeKey]hop, table int, routes []network.Route, ports []network.Port) {
	for _, r := range routes {
		h := hop{link: voidLink}
		for _, p := range ports {
			if p.NATGateway && p.Host == r.Target {
				h = hop{portName(p), p.Primary}
			}
		}
		out[routeKey{table, r.Dst.Masked()}] = h
	}
	for _, e := range f.external {
		best := network.Route{}
		for _, r := range routes {
			if r.Dst.Contains(e.IP) && (!best.Dst.IsValid() || r.Dst.Bits() > best.Dst.Bits()) {
				best = r
			}
		}
		if best.Dst.IsValid() && best.Target == e.Gateway {
			out[routeKey{table, vpcnet.Host(e.IP)}] = hop{link: portLink("x", e.Name)}
		}
	}
}

func (f *Fabric) hop(k routeKey, h hop) error {
	link, err := f.nl.LinkByName(h.link)
	if err != nil {
		return err
	}
	r := route(k.dst, link.Attrs().Index, k.table)
	if h.via.IsValid() {
		// On link: the router has no address in the subnet that would say so.
		r.Gw, r.Flags, r.Scope = h.via.AsSlice(), int(netlink.FLAG_ONLINK), netlink.SCOPE_UNIVERSE
	}
	return f.nl.RouteReplace(r)
}

// Ready waits until the links carry packets whose both ends are up: the kernel
// loses what is sent in the moment before it notices. A hot-plugged link is
// down at the host's end until the host wants it, and cannot be waited for here.
func (f *Fabric) Ready(hosts []string, limit time.Duration) error {
	// The router's void and a host's own bridge have no peer that matters.
	waiting := func(ns string, name func(string) bool) (out []string, err error) {
		err = netns.Do(ns, func() error {
			links, err := netlinksafe.LinkList()
			for _, l := range links {
				// A link has its carrier at once and takes packets a moment later.
				a := l.Attrs()
				settling := a.RawFlags&unix.IFF_LOWER_UP != 0 && a.RawFlags&unix.IFF_RUNNING == 0
				if settling || name(a.Name) && a.Flags&net.FlagRunning == 0 {
					out = append(out, a.Name)
				}
			}
			return err
		})
		return out, err
	}
	for end := time.Now().Add(limit); ; time.Sleep(time.Millisecond) {
		down, err := waiting(f.ns, f.booted())
		for _, host := range hosts {
			more, err2 := waiting(f.hosts(host), func(name string) bool { return name == "eth0" })
			down, err = append(down, more...), errors.Join(err, err2)
		}
		if err != nil || len(down) == 0 {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("links do not come up within %s: %v", limit, down)
		}
	}
}

// booted tells the router's ends of what a host has from its start.
func (f *Fabric) booted() func(name string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	names := map[string]bool{}
	for _, l := range f.ports {
		names[l.name] = l.Device == 0 && l.plugged
	}
	for _, e := range f.external {
		names[portLink("x", e.Name)] = true
	}
	return func(name string) bool { return names[name] }
}
