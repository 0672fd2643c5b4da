package hostnet

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// planned is what diff answers: the steps in the order to carry them out, and
// what is known about links before any step ran.
type planned struct {
	steps    []step
	primary  Link
	enis     map[string]Link
	degraded []string
}

func (p *planned) add(s ...step) { p.steps = append(p.steps, s...) }

func (p *planned) degrade(format string, args ...any) {
	p.degraded = append(p.degraded, fmt.Sprintf(format, args...))
}

// diff compares the desired state with the kernel. Additions come before
// removals, so that no packet finds neither the old rule nor the new one.
func diff(d Desired, k kernel) planned {
	p := planned{enis: map[string]Link{}}
	p.primaryLink(d, k)
	var tables []route
	for _, e := range d.ENIs {
		if e.IsPrimary() {
			p.enis[e.ID] = p.primary
			continue
		}
		tables = append(tables, p.secondary(d, e, k)...)
	}
	p.pods(d, k)
	p.rules(d, k)
	for _, r := range k.routes {
		if !isENITable(r.Table) || r.Protocol != vpcnet.RouteProtocol || wanted(tables, r) {
			continue
		}
		p.add(step{verb: delRoute, route: r})
	}
	return p
}

// wanted tells whether r is one of the routes, or will be replaced by one.
func wanted(routes []route, r route) bool {
	return slices.ContainsFunc(routes, func(w route) bool {
		return w.Table == r.Table && w.Dst == r.Dst && w.Metric == r.Metric
	})
}

// primaryLink finds the primary ENI's link. Its addresses and routes belong to
// the operating system; only MTU and rp_filter are ours. rp_filter 2 (loose),
// because a reply to a pod on a secondary ENI may come in by the primary one.
func (p *planned) primaryLink(d Desired, k kernel) {
	p.sysctl(k, ipForward, "1")
	l, ok := k.byMAC(d.PrimaryMAC)
	if !ok {
		p.primary = Link{Reason: "no link has MAC " + d.PrimaryMAC}
		p.degrade("primary ENI: no link has MAC %s: check that the instance metadata and this host belong together", d.PrimaryMAC)
		return
	}
	p.sysctl(k, rpFilter(l.Name), "2")
	p.primary = Link{Name: l.Name, Index: l.Index, MTU: l.MTU, Ready: l.Up}
	if !l.Up {
		p.primary.Reason = "link " + l.Name + " is down"
		p.degrade("primary ENI: link %s is down", l.Name)
	}
	if d.MTU > 0 && l.MTU != d.MTU {
		p.add(step{verb: setMTU, link: l, mtu: d.MTU})
		p.primary.MTU = d.MTU
	}
}

func (p *planned) sysctl(k kernel, path, value string) {
	if have, ok := k.sysctls[path]; ok && have != value {
		p.add(step{verb: setSysctl, sysctl: path, value: value, was: have})
	}
}

// secondary plans link, addresses and table of a secondary ENI and returns the
// routes of its table. A link that is not there yet is no error: the kernel
// shows it some time after EC2 says "attached".
func (p *planned) secondary(d Desired, e ENI, k kernel) []route {
	l, ok := k.byMAC(e.MAC)
	reason := ""
	switch {
	case !ok:
		reason = "no link has MAC " + e.MAC + " yet"
	case !e.Primary.IsValid() || !e.Subnet.IsValid():
		reason = "its address or subnet is not known"
	}
	if reason != "" {
		p.enis[e.ID] = Link{Name: l.Name, Index: l.Index, MTU: l.MTU, Reason: reason}
		p.degrade("ENI %s: %s", e.ID, reason)
		return nil
	}
	mtu := cmp.Or(e.MTU, d.MTU, l.MTU)
	if l.MTU != mtu {
		p.add(step{verb: setMTU, eni: e.ID, link: l, mtu: mtu})
	}
	if !l.Up {
		p.add(step{verb: setUp, eni: e.ID, link: l})
	}
	p.enis[e.ID] = Link{Name: l.Name, Index: l.Index, MTU: mtu, Ready: true}
	flushed := p.addresses(e, l, k)
	return p.table(e, l, k, flushed || !l.Up)
}

// table plans the routes of the ENI's table. With all, the link has none (any more).
func (p *planned) table(e ENI, l link, k kernel, all bool) []route {
	routes := eniRoutes(e, l)
	for _, want := range routes {
		present := slices.ContainsFunc(k.routes, func(r route) bool { return r.same(want) && r.Protocol == want.Protocol })
		if all || !present {
			p.add(step{verb: putRoute, eni: e.ID, route: want})
		}
	}
	// A connected route in main would pull the whole subnet, the primary ENI's
	// neighbours included, over to this link.
	for _, r := range k.routes {
		if r.Table == vpcnet.TableMain && r.Link == l.Index && r.Protocol == protocolKernel && r.Type == typeUnicast {
			p.add(step{verb: delRoute, eni: e.ID, route: r})
		}
	}
	return routes
}

// addresses leaves the ENI's primary address as the only global one on its
// link: a pod's address there would be local to the host. It tells whether the
// kernel may drop the link's routes on the way, which it does with the last address.
func (p *planned) addresses(e ENI, l link, k kernel) (flushed bool) {
	want := netip.PrefixFrom(e.Primary, e.Subnet.Bits())
	present, secondary := false, false
	for _, a := range k.addrs {
		switch {
		case a.Link != l.Index || !a.Global:
		case a.Prefix == want:
			present, secondary = true, a.Secondary
		default:
			p.add(step{verb: delAddr, eni: e.ID, link: l, addr: a.Prefix})
			flushed = true
		}
	}
	// Deleting the first address of a subnet deletes the later ones with it
	// (promote_secondaries 0), so ours is added after the others are gone.
	if !present || (secondary && flushed) {
		p.add(step{verb: addAddr, eni: e.ID, link: l, addr: want})
	}
	return flushed
}

// eniRoutes are those of the ENI's table. The router is named on-link, because
// main has no connected route through this link.
func eniRoutes(e ENI, l link) []route {
	gw := vpcnet.Router(e.Subnet)
	table := vpcnet.ENITable(e.Card, e.Device)
	base := route{Table: table, Link: l.Index, Dev: l.Name, Protocol: vpcnet.RouteProtocol, Type: typeUnicast, Plain: true}
	onlink, def := base, base
	onlink.Dst, onlink.Scope = vpcnet.Host(gw), scopeLink
	def.Dst, def.Gw = netip.PrefixFrom(netip.IPv4Unspecified(), 0), gw
	return []route{onlink, def}
}

// pods re-adds missing pod routes. A veth that is not there, or is down, is
// being made or unmade by vpc-veth at this moment.
func (p *planned) pods(d Desired, k kernel) {
	have := make(map[netip.Prefix]route, len(k.routes))
	for _, r := range k.routes {
		if r.Table == vpcnet.TablePods {
			have[r.Dst] = r
		}
	}
	for _, pod := range d.Pods {
		l, ok := k.byName(pod.HostVeth)
		if !ok || !l.Up || !pod.Addr.IsValid() {
			continue
		}
		want := route{
			Table: vpcnet.TablePods, Dst: vpcnet.Host(pod.Addr), Link: l.Index, Dev: l.Name, Src: d.Primary,
			Scope: scopeLink, Protocol: vpcnet.RouteProtocol, Type: typeUnicast, Plain: true,
		}
		if r, ok := have[want.Dst]; !ok || !r.same(want) {
			p.add(step{verb: putRoute, route: want})
		}
	}
}
