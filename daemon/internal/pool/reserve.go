package pool

import (
	"net/netip"
	"slices"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
)

// reserves tells whether new pods are kept off the ENI: the primary one with
// custom networking, and any that is left alone. A pod that has an address there
// keeps it until it goes.
func (p *Pool) reserves(e eni.ENI) bool { return p.reserved && e.IsPrimary() || p.leaves(e) != "" }

// leaves says why an ENI is left alone, if it is: an operator keeps it to
// himself, or may do so for all that is known while EC2 does not answer. One
// that pods had addresses of is ours. On one that is detached, as it seems, EC2
// would assign addresses all the same, which lead nowhere.
func (p *Pool) leaves(e eni.ENI) string {
	switch {
	case e.Unmanaged():
		return "it has the tag " + eni.TagNoManage
	case e.IsTrunk():
		return "it is the trunk of the branch ENIs"
	case e.Missing && !e.IsPrimary():
		return "EC2 does not list it any more, and is asked again"
	case e.Untold && !e.IsPrimary() && !p.knows(e):
		return "EC2 has not told whether it has the tag " + eni.TagNoManage
	}
	return ""
}

// knows tells whether a pod has or had an address of the ENI.
func (p *Pool) knows(e eni.ENI) bool {
	of := func(a netip.Addr) bool {
		return slices.Contains(e.Addresses, a) || slices.ContainsFunc(e.Prefixes, func(b netip.Prefix) bool { return b.Contains(a) })
	}
	for a := range p.byAddr {
		if of(a) {
			return true
		}
	}
	for a := range p.freed {
		if of(a) {
			return true
		}
	}
	return false
}

// SetGroups records the security groups that an ENI has now.
func (p *Pool) SetGroups(id string, groups []string) {
	if m, ok := p.enis[id]; ok {
		m.Groups = groups
	}
}
