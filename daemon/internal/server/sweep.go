package server

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/vpcchain/vpcchain/daemon/internal/engine"
	"github.com/vpcchain/vpcchain/daemon/internal/orphans"
	"github.com/vpcchain/vpcchain/pkg/ipamapi"
)

func (s *admin) Sweep(ctx context.Context, r *ipamapi.SweepRequest) (*ipamapi.SweepReply, error) {
	v, err := s.e.Sweep(ctx, r.GetDryRun())
	switch {
	case errors.Is(err, engine.ErrNoKernel):
		return nil, status.Error(codes.FailedPrecondition, err.Error())
	case err != nil:
		return nil, status.Error(codes.Unavailable, err.Error())
	}
	slices.SortFunc(v.List, func(a, b orphans.Verdict) int {
		return cmp.Or(a.Addr.Compare(b.Addr), strings.Compare(a.Attachment.Alias(), b.Attachment.Alias()))
	})
	out := &ipamapi.SweepReply{Alive: uint32(v.Alive), Runtime: v.Asked} //nolint:gosec // pods of one node
	for _, x := range v.List {
		a := x.Attachment
		item := &ipamapi.SweepItem{
			Attachment: &ipamapi.Attachment{Network: a.Network, ContainerId: a.ContainerID, Ifname: a.IfName},
			Pod:        &ipamapi.Pod{Namespace: x.Pod.Namespace, Name: x.Pod.Name, Uid: x.Pod.UID}, Address: x.Addr.String(), Why: x.Why,
		}
		if x.Release {
			out.Released = append(out.Released, item)
		} else {
			out.Kept = append(out.Kept, item)
		}
	}
	return out, nil
}
