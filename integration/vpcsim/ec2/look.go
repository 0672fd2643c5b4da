package ec2

import (
	"maps"
	"net/netip"
	"slices"
)

// Interface is an ENI as it is: what a test compares with what a client believes.
type Interface struct {
	ID, MAC   string
	Host      string // the instance or host that has it; "" while it is not attached
	Device    int
	Managed   bool // by another AWS service
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
			ID: e.id, MAC: e.mac, Host: e.host, Managed: e.requester != "", Primary: e.primary, Addresses: slices.Clone(e.addrs),
			Prefixes: slices.Clone(e.prefixes), Groups: slices.Clone(e.groups), Tags: maps.Clone(e.tags),
		}
		if a := e.attachment; a != nil {
			i.Host, i.Device = s.instances[a.instance].name, a.device
		}
		out = append(out, i)
	}
	return out
}
