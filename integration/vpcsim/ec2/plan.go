package ec2

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strconv"

	"github.com/vpcchain/vpcchain/integration/vpcsim/network"
	"github.com/vpcchain/vpcchain/integration/vpcsim/topology"
)

// eniMTU is an ENI's MTU inside a VPC, bytes.
const eniMTU = 9001

// Network is the fabric's plan at this moment.
func (s *Sim) Network() network.VPC {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.network()
}

func (s *Sim) network() network.VPC {
	v := network.VPC{CIDRs: slices.Clone(s.cidrs)}
	for _, sn := range s.topo.Subnets {
		v.Subnets = append(v.Subnets, network.Subnet{ID: sn.ID, CIDR: sn.CIDR, AZ: sn.AZ, RouteTable: sn.RouteTable})
	}
	for _, rt := range s.topo.RouteTables {
		out := network.RouteTable{ID: rt.ID}
		for _, r := range rt.Routes {
			out.Routes = append(out.Routes, network.Route{Dst: r.Destination, Target: r.Target})
		}
		v.RouteTables = append(v.RouteTables, out)
	}
	for _, g := range s.topo.SecurityGroups {
		v.Groups = append(v.Groups, network.SecurityGroup{ID: g.ID, Ingress: permissions(g.Ingress), Egress: permissions(g.Egress)})
	}
	for _, e := range s.sortedENIs() {
		if p, ok := s.port(e); ok {
			v.Ports = append(v.Ports, p)
		}
	}
	return v
}

func permissions(in []topology.Permission) []network.Permission {
	var out []network.Permission
	for _, p := range in {
		out = append(out, network.Permission{Protocol: p.Protocol, FromPort: p.FromPort, ToPort: p.ToPort, CIDRs: p.CIDRs, Groups: p.Groups})
	}
	return out
}

// port is the ENI as the fabric sees it; one that is not attached, or not for long, has none.
func (s *Sim) port(e *eni) (network.Port, bool) {
	p := network.Port{
		ENI: e.id, Host: e.host, MAC: e.mac, MTU: eniMTU, Subnet: e.subnet, Primary: e.primary, Addresses: slices.Clone(e.addrs),
		Prefixes: slices.Clone(e.prefixes), SourceDestCheck: e.sourceDestCheck, Groups: slices.Clone(e.groups),
		NATGateway: e.kind == kindNAT, Kind: e.shownKind(),
	}
	if e.public.IsValid() {
		p.PublicIPs = map[netip.Addr]netip.Addr{e.primary: e.public}
	}
	if a := s.carrier(e); a != nil {
		in := s.instances[a.instance]
		p.Host, p.Card, p.Device = in.name, a.card, a.device
		if in.public.IsValid() && a.card == 0 && a.device == 0 {
			p.PublicIPs = map[netip.Addr]netip.Addr{e.primary: in.public}
		}
	}
	p.Link = "eth" + strconv.Itoa(p.Device)
	if a := e.association; a != nil {
		p.Trunk, p.VLAN, p.Association = a.trunk, a.vlan, a.id
	}
	return p, p.Host != ""
}

func (s *Sim) sortedENIs() []*eni {
	return slices.SortedFunc(maps.Values(s.enis), func(a, b *eni) int { return cmp.Compare(a.id, b.id) })
}
