package pool

import "github.com/vpcchain/vpcchain/daemon/internal/eni"

// reserves tells whether new pods are kept off the ENI: the primary one with
// custom networking, and any that an operator keeps to himself. A pod that has
// an address there keeps it until it goes.
func (p *Pool) reserves(e eni.ENI) bool { return p.reserved && e.IsPrimary() || e.Unmanaged() }

// SetGroups records the security groups that an ENI has now.
func (p *Pool) SetGroups(id string, groups []string) {
	if m, ok := p.enis[id]; ok {
		m.Groups = groups
	}
}
