package server

import (
	"context"

	"github.com/vpcchain/vpcchain/daemon/internal/engine"
	"github.com/vpcchain/vpcchain/daemon/internal/pool"
	"github.com/vpcchain/vpcchain/pkg/ipamapi"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

type admin struct {
	ipamapi.UnimplementedAdminServer
	e   *engine.Engine
	nat NAT
}

func (s *admin) Snat(context.Context, *ipamapi.SnatRequest) (*ipamapi.SnatReply, error) {
	w, err := s.nat.Wish()
	if err != nil {
		return nil, err
	}
	return &ipamapi.SnatReply{Network: w.Network, Settings: w.Texts, Repairs: s.nat.Repairs(), Trouble: s.nat.Trouble()}, nil
}

func (s *admin) Pool(context.Context, *ipamapi.PoolRequest) (*ipamapi.PoolReply, error) {
	v := s.e.View()
	reply := &ipamapi.PoolReply{
		Plan: v.Plan, Leaving: v.Leaving, Waiters: uint32(v.Waiters), Demand: uint32(v.Demand), Totals: &ipamapi.PoolTotals{
			Addresses: uint32(v.Pool.Total()), Used: uint32(v.Pool.Count(pool.Used)),
			Cooling: uint32(v.Pool.Count(pool.Cooling)), Available: uint32(v.Pool.Count(pool.Free)),
		},
	}
	for _, m := range v.Pool.ENIs {
		link := v.Links[m.ID]
		e := &ipamapi.PoolENI{
			Eni:     &ipamapi.ENI{Id: m.ID, Mac: m.MAC, Mtu: uint32(link.MTU), Device: uint32(m.Device), Card: uint32(m.Card)},
			Primary: m.Primary.String(), SubnetId: m.SubnetID, Subnet: m.Subnet.String(), Link: link.Name,
			Table: uint32(vpcnet.ENITable(m.Card, m.Device)), Ready: m.Ready, Note: m.Reason,
		}
		if d, ok := v.Drains[m.ID]; ok {
			e.Drain = drainOf(d)
		}
		for _, slot := range m.Slots {
			e.Addresses = append(e.Addresses, s.address(slot))
		}
		for _, b := range m.Blocks() {
			e.Prefixes = append(e.Prefixes, &ipamapi.PoolPrefix{
				Prefix: b.Prefix.String(), Used: uint32(b.Used), Cooling: uint32(b.Cooling), Available: uint32(b.Free),
			})
		}
		reply.Enis = append(reply.Enis, e)
	}
	for _, h := range v.Pool.Lost {
		note := "on no ENI any more: delete its pod, so that it gets another address"
		reply.Lost = append(reply.Lost, s.address(pool.Address{Addr: h.Addr, State: pool.Used, Holder: &h, Note: note}))
	}
	if v.Branches != nil {
		reply.Trunk = s.trunk(*v.Branches)
	}
	return reply, nil
}

func (s *admin) address(slot pool.Address) *ipamapi.PoolAddress {
	a := &ipamapi.PoolAddress{Address: slot.Addr.String(), State: map[pool.State]ipamapi.PoolAddress_State{
		pool.Free: ipamapi.PoolAddress_STATE_FREE, pool.Used: ipamapi.PoolAddress_STATE_USED, pool.Cooling: ipamapi.PoolAddress_STATE_COOLING,
		pool.Reserved: ipamapi.PoolAddress_STATE_RESERVED, pool.Withheld: ipamapi.PoolAddress_STATE_WITHHELD,
	}[slot.State], Note: slot.Note}
	if h := slot.Holder; h != nil {
		a.Attachment = &ipamapi.Attachment{Network: h.Attachment.Network, ContainerId: h.Attachment.ContainerID, Ifname: h.Attachment.IfName}
		a.Pod = &ipamapi.Pod{Namespace: h.Pod.Namespace, Name: h.Pod.Name, Uid: h.Pod.UID}
		a.Since, a.Link = h.Since.Unix(), s.e.HostVeth(*h)
	}
	return a
}
