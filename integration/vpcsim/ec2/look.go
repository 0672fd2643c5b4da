package ec2

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
)

// Interface is an ENI as it is: what a test compares with what a client believes.
type Interface struct {
	ID, MAC   string
	Kind      string // interface, trunk, branch or nat_gateway
	Host      string // the instance or host that has it; "" while it is not attached or associated
	Device    int    // of a branch, its trunk's
	Subnet    string
	Trunk     string // of an associated branch: its trunk's ENI id
	VLAN      int    // of an associated branch: its 802.1Q id
	Managed   bool   // by another AWS service
	Primary   netip.Addr
	Addresses []netip.Addr
	Prefixes  []netip.Prefix
	Groups    []string
	Tags      map[string]string
}

// Interfaces lists every ENI by id, whatever Describe* shows at the moment.
func (s *Sim) Interfaces() []Interface {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Interface
	for _, e := range s.sortedENIs() {
		i := Interface{
			ID: e.id, MAC: e.mac, Kind: e.shownKind(), Subnet: e.subnet, Host: e.host, Managed: e.requester != "", Primary: e.primary, Addresses: slices.Clone(e.addrs),
			Prefixes: slices.Clone(e.prefixes), Groups: slices.Clone(e.groups), Tags: maps.Clone(e.tags),
		}
		if a := cmp.Or(e.attachment, s.carrier(e)); a != nil {
			i.Host, i.Device = s.instances[a.instance].name, a.device
		}
		if a := e.association; a != nil {
			i.Trunk, i.VLAN = a.trunk, a.vlan
		}
		out = append(out, i)
	}
	return out
}
