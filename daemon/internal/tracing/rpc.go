package tracing

import (
	"context"
	"path"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/vpcchain/vpcchain/pkg/flight"
	"github.com/vpcchain/vpcchain/pkg/ipamapi"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// verbs are the methods that are recorded, by their name without the service's,
// and the verb of CNI that each belongs to. Status is asked too often.
func verbs(method string) (verb string, ok bool) {
	switch method {
	case ipamapi.IPAM_Assign_FullMethodName:
		return "ADD", true
	case ipamapi.IPAM_Release_FullMethodName:
		return "DEL", true
	case ipamapi.IPAM_Check_FullMethodName:
		return "CHECK", true
	case ipamapi.IPAM_Collect_FullMethodName:
		return "GC", true
	}
	return "", false
}

// Intercept records a call of a plugin, below the span that its metadata names.
func (t *Tracer) Intercept(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	verb, ok := verbs(info.FullMethod)
	if !ok {
		return next(ctx, req)
	}
	r := flight.Record{Kind: flight.RPC, Name: path.Base(info.FullMethod), Verb: verb, Start: time.Now()}
	md, _ := metadata.FromIncomingContext(ctx)
	if given := md.Get("traceparent"); len(given) == 1 { // more than one is none
		if parent, ok := flight.Parse(given[0]); ok {
			r.Parent = parent.Span
			ctx = flight.With(ctx, parent)
		}
	}
	r.Traceparent = flight.ChildOf(ctx)
	describe(&r, req)
	answer, err := next(flight.With(ctx, r.Traceparent), req)
	r.Duration = max(time.Since(r.Start), 1)
	if err != nil {
		s := status.Convert(err)
		r.Code, r.Error = s.Code().String(), s.Message()
	} else if a, ok := answer.(*ipamapi.AssignReply); ok {
		r.Text = a.GetAddress() + " of " + a.GetEni().GetId()
	}
	t.recorder.Write(r)
	return answer, err
}

// describe says whose call it is.
func describe(r *flight.Record, req any) {
	if q, ok := req.(interface{ GetAttachment() *ipamapi.Attachment }); ok {
		a := q.GetAttachment()
		r.Attachment = vpcnet.Attachment{Network: a.GetNetwork(), ContainerID: a.GetContainerId(), IfName: a.GetIfname()}
	}
	if q, ok := req.(*ipamapi.CollectRequest); ok {
		r.Attachment.Network = q.GetNetwork()
	}
	if q, ok := req.(*ipamapi.AssignRequest); ok && q.GetPod().GetName() != "" {
		r.Pod = q.GetPod().GetNamespace() + "/" + q.GetPod().GetName()
	}
}
