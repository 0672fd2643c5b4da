package tracing

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	resourcev1 "go.opentelemetry.io/proto/otlp/resource/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/vpcchain/vpcchain/pkg/flight"
	"github.com/vpcchain/vpcchain/pkg/ipamapi"
)

// request is the records that have ended and are sampled, as OTLP wants them: a
// scope for each program. Nil: there are none.
func request(resource map[string]string, records []flight.Record) *tracev1.TracesData {
	scopes := map[string][]*tracev1.Span{}
	for _, r := range records {
		if r.Begin || !r.Sampled {
			continue
		}
		program := daemonScope
		if r.Kind == flight.Plugin {
			program = r.Name
		}
		scopes[program] = append(scopes[program], span(r))
	}
	if len(scopes) == 0 {
		return nil
	}
	out := &tracev1.ResourceSpans{Resource: &resourcev1.Resource{Attributes: attributes(resource)}}
	for _, program := range slices.Sorted(maps.Keys(scopes)) {
		out.ScopeSpans = append(out.ScopeSpans, &tracev1.ScopeSpans{
			Scope: &commonv1.InstrumentationScope{Name: program}, Spans: scopes[program],
		})
	}
	return &tracev1.TracesData{ResourceSpans: []*tracev1.ResourceSpans{out}}
}

const daemonScope = "vpc-ipamd"

func span(r flight.Record) *tracev1.Span {
	s := &tracev1.Span{
		TraceId: r.Trace[:], SpanId: r.Span[:], Flags: 1, Name: name(r), Kind: kind(r.Kind), Attributes: attributes(describing(r)),
		StartTimeUnixNano: uint64(r.Start.UnixNano()), EndTimeUnixNano: uint64(r.End().UnixNano()), //nolint:gosec // times after 1970
	}
	if !r.Parent.IsZero() {
		s.ParentSpanId = r.Parent[:]
	}
	if r.Failed() {
		s.Status = &tracev1.Status{Code: tracev1.Status_STATUS_CODE_ERROR, Message: r.Error}
	}
	for _, l := range r.Links {
		s.Links = append(s.Links, &tracev1.Span_Link{TraceId: l.Trace[:], SpanId: l.Span[:]})
	}
	return s
}

func kind(k flight.Kind) tracev1.Span_SpanKind {
	switch k {
	case flight.RPC:
		return tracev1.Span_SPAN_KIND_SERVER
	case flight.EC2:
		return tracev1.Span_SPAN_KIND_CLIENT
	}
	return tracev1.Span_SPAN_KIND_INTERNAL
}

// name is low in variety, as collectors want it: whose span it is, attributes say.
func name(r flight.Record) string {
	switch r.Kind {
	case flight.Plugin:
		return r.Verb + " " + r.Name
	case flight.RPC:
		return "IPAM/" + r.Name
	case flight.EC2:
		return "EC2/" + r.Name
	case flight.Wait:
		return "wait for " + r.Name
	}
	return r.Name
}

// describing are a span's attributes, by the names of OpenTelemetry's conventions
// where there is one. Empty ones are left out.
func describing(r flight.Record) map[string]string {
	a := map[string]string{
		"cni.verb": r.Verb, "cni.network": r.Attachment.Network, "cni.container_id": r.Attachment.ContainerID, "cni.ifname": r.Attachment.IfName,
		"vpcchain.text": r.Text, "error.type": r.Code, "aws.request_id": r.RequestID,
	}
	a["k8s.namespace.name"], a["k8s.pod.name"], _ = strings.Cut(r.Pod, "/")
	switch r.Kind {
	case flight.RPC:
		a["rpc.system"], a["rpc.service"], a["rpc.method"] = "grpc", ipamapi.IPAM_ServiceDesc.ServiceName, r.Name
	case flight.EC2:
		a["rpc.system"], a["rpc.service"], a["rpc.method"] = "aws-api", "EC2", r.Name
		a["vpcchain.attempts"] = strconv.Itoa(r.Attempts)
	}
	return a
}

func attributes(of map[string]string) []*commonv1.KeyValue {
	var out []*commonv1.KeyValue
	for _, key := range slices.Sorted(maps.Keys(of)) {
		if of[key] != "" {
			out = append(out, &commonv1.KeyValue{Key: key, Value: &commonv1.AnyValue{Value: &commonv1.AnyValue_StringValue{StringValue: of[key]}}})
		}
	}
	return out
}
