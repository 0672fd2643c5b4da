package server

import (
	"github.com/vpcchain/vpcchain/daemon/internal/pool"
	"github.com/vpcchain/vpcchain/daemon/internal/trunking"
	"github.com/vpcchain/vpcchain/pkg/ipamapi"
)

func (s *admin) trunk(v trunking.View) *ipamapi.PoolTrunk {
	out := &ipamapi.PoolTrunk{Ready: v.Trunk.Ready, Note: v.Trunk.Reason, Limit: uint32(v.Limit), Waiters: uint32(v.Waiters)} //nolint:gosec // at most hundreds
	if t := v.Trunk; t.ID != "" {
		out.Eni = &ipamapi.ENI{Id: t.ID, Mac: t.MAC, Mtu: uint32(t.MTU), Device: uint32(t.Device), Card: uint32(t.Card)} //nolint:gosec // likewise
	}
	for _, b := range v.Branches {
		p := &ipamapi.PoolBranch{
			Branch: &ipamapi.Branch{Id: b.ENI, Mac: b.MAC, VlanId: uint32(b.VLAN)}, //nolint:gosec // at most 4094
			State:  string(b.State), Announced: b.Announced, Note: b.Note,
		}
		if b.Addr.IsValid() {
			p.Address, p.Subnet = b.Addr.String(), b.Subnet.String()
		}
		if !b.Announced {
			p.Groups = b.Kind.List()
		}
		if h := b.Holder; h != nil {
			p.Attachment = &ipamapi.Attachment{Network: h.Attachment.Network, ContainerId: h.Attachment.ContainerID, Ifname: h.Attachment.IfName}
			p.Pod = &ipamapi.Pod{Namespace: h.Pod.Namespace, Name: h.Pod.Name, Uid: h.Pod.UID}
			p.Since, p.Link = h.Since.Unix(), s.e.HostVeth(pool.Allocation{Attachment: h.Attachment, Pod: h.Pod})
		}
		out.Branches = append(out.Branches, p)
	}
	return out
}
