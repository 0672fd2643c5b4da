package server

import (
	"context"
	"errors"

	"google.golang.org/grpc"

	"github.com/vpcchain/vpcchain/daemon/internal/engine"
	"github.com/vpcchain/vpcchain/daemon/internal/kube"
	"github.com/vpcchain/vpcchain/daemon/internal/pool"
	"github.com/vpcchain/vpcchain/pkg/ipamapi"
)

// Reports takes what Kubernetes says of the node, and has what it is to be told.
type Reports interface {
	Report(r kube.Report) error
	Failures(heard kube.Heard) ([]kube.Failure, kube.Heard)
	// Trouble is why something of the last report cannot be used.
	Trouble() error
}

type kubeService struct {
	ipamapi.UnimplementedKubeServer
	e       *engine.Engine
	reports Reports
}

// AddKube puts the service for vpc-kube on the server, before it serves.
func AddKube(s *grpc.Server, e *engine.Engine, r Reports) {
	ipamapi.RegisterKubeServer(s, &kubeService{e: e, reports: r})
}

func (s *kubeService) Report(_ context.Context, r *ipamapi.KubeReport) (*ipamapi.KubeReply, error) {
	err := errors.Join(s.reports.Report(reportOf(r)), s.reports.Trouble())
	failures, heard := s.reports.Failures(kube.Heard{Life: r.GetHeard().GetLife(), Serial: r.GetHeard().GetSerial()})
	out := &ipamapi.KubeReply{Heard: &ipamapi.KubeHeard{Life: heard.Life, Serial: heard.Serial}}
	if err != nil {
		out.Trouble = err.Error()
	}
	for _, f := range failures {
		pod := &ipamapi.Pod{Namespace: f.Pod.Namespace, Name: f.Pod.Name, Uid: f.Pod.UID}
		out.Failures = append(out.Failures, &ipamapi.KubeFailure{Pod: pod, Text: f.Text, At: f.At.Unix()})
	}
	if limit, ok := s.e.BranchLimit(); ok {
		out.Branches = &ipamapi.KubeBranches{Limit: uint32(limit)} //nolint:gosec // at most hundreds
	}
	return out, nil
}

func reportOf(r *ipamapi.KubeReport) kube.Report {
	var out kube.Report
	if n := r.GetNode(); n != nil {
		out.Node = &kube.Node{Labels: n.GetLabels(), Annotations: n.GetAnnotations()}
		for _, t := range n.GetTaints() {
			out.Node.Taints = append(out.Node.Taints, kube.Taint{Key: t.GetKey(), Value: t.GetValue(), Effect: t.GetEffect()})
		}
	}
	if c := r.GetEniConfigs(); c != nil {
		out.ENIConfigs = map[string]string{}
		for _, one := range c.GetList() {
			out.ENIConfigs[one.GetName()] = string(one.GetSpec())
		}
	}
	for _, p := range r.GetPending() {
		out.Pending = append(out.Pending, pool.Pod{Namespace: p.GetNamespace(), Name: p.GetName(), UID: p.GetUid()})
	}
	return out
}
