package server

import (
	"context"

	"github.com/vpcchain/vpcchain/daemon/internal/engine"
	"github.com/vpcchain/vpcchain/pkg/ipamapi"
)

// Node is one reading under one lock, short enough for a probe.
func (s *admin) Node(context.Context, *ipamapi.NodeRequest) (*ipamapi.NodeReply, error) {
	b := s.e.Bearings()
	t, l := b.Targets, b.Limits
	return &ipamapi.NodeReply{ //nolint:gosec // none of the numbers is negative, or more than thousands
		Instance: b.Node.InstanceID, Type: b.Node.InstanceType, Zone: b.Node.AZ, Vpc: b.Node.VPCID, Primary: b.Node.PrimaryIP.String(),
		Limits: &ipamapi.NodeLimits{Enis: uint32(l.ENIs), Ipv4PerEni: uint32(l.IPv4PerENI), Hypervisor: l.Hypervisor, Branches: uint32(l.Branches)},
		Mode:   &ipamapi.NodeMode{Prefixes: b.Prefixes, Custom: b.Custom, PodEni: b.PodENI, Enforcing: b.Enforcing, Cordoned: b.Cordoned},
		Targets: &ipamapi.NodeTargets{
			WarmEni: uint32(t.WarmENI), WarmPrefix: uint32(t.WarmPrefix), WarmIp: uint32(t.WarmIP), MinimumIp: uint32(t.MinimumIP),
			MaxEni: uint32(t.MaxENI), MaxPods: uint32(t.MaxPods),
		},
		Goal: &ipamapi.NodeGoal{Wanted: uint32(b.Wish.Addresses), Has: uint32(b.Wish.Has), Setting: b.Wish.Setting, Text: b.Wish.String()},
		Hold: b.Hold, HoldMs: b.Lasts.Milliseconds(), Status: statusReply(b.Status),
	}, nil
}

func statusReply(st engine.Status) *ipamapi.StatusReply {
	state := map[engine.State]ipamapi.StatusReply_State{
		engine.OK: ipamapi.StatusReply_STATE_OK, engine.Limited: ipamapi.StatusReply_STATE_LIMITED,
		engine.Unavailable: ipamapi.StatusReply_STATE_UNAVAILABLE,
	}[st.State]
	return &ipamapi.StatusReply{State: state, Reason: st.Reason}
}
