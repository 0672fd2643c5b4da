package server

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/vpcchain/vpcchain/daemon/internal/engine"
	"github.com/vpcchain/vpcchain/pkg/ipamapi"
)

func (s *admin) Drain(_ context.Context, r *ipamapi.DrainRequest) (*ipamapi.DrainReply, error) {
	if r.GetEni() == "" {
		return nil, status.Error(codes.InvalidArgument, "the id of an ENI is missing")
	}
	d, draining, err := s.e.Drain(r.GetEni(), r.GetCancel())
	switch {
	case errors.Is(err, engine.ErrNoENI):
		return nil, status.Error(codes.NotFound, err.Error())
	case errors.Is(err, engine.ErrNoDrain):
		return nil, status.Error(codes.FailedPrecondition, err.Error())
	case err != nil:
		return nil, status.Error(codes.Internal, err.Error())
	case !draining:
		return &ipamapi.DrainReply{}, nil
	}
	return &ipamapi.DrainReply{Draining: true, Drain: drainOf(d)}, nil
}

func drainOf(d engine.Drain) *ipamapi.PoolDrain {
	return &ipamapi.PoolDrain{Since: d.Since.Unix(), Pods: uint32(d.Pods), Waits: d.Waits} //nolint:gosec // pods of one ENI
}
