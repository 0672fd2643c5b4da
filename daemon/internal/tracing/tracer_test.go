package tracing

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/vpcchain/vpcchain/daemon/internal/cloud"
	"github.com/vpcchain/vpcchain/pkg/flight"
	"github.com/vpcchain/vpcchain/pkg/ipamapi"
)

const given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"

func tracer(t *testing.T) *Tracer {
	t.Helper()
	tr, err := New(flight.Recorder{Dir: flight.Dir(t.TempDir())})
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func (t *Tracer) read(tb testing.TB) map[string]flight.Record {
	tb.Helper()
	all, err := flight.Read(t.recorder.Dir)
	if err != nil {
		tb.Fatal(err)
	}
	byName := map[string]flight.Record{}
	for _, r := range all {
		byName[string(r.Kind)+" "+r.Name] = r
	}
	if len(byName) != len(all) {
		tb.Fatalf("records of one name: %+v", all)
	}
	return byName
}

// A wait is linked to what was under way, to what began meanwhile, and to nothing
// before or after it; what is part of an action is not linked beside it.
func TestWaitLinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := tracer(t)
		ctx := t.Context()
		_, ended := tr.Work(ctx, "before", "")
		ended(nil)
		_, under := tr.Work(ctx, "under", "")
		request := flight.With(ctx, flight.New())
		wait := tr.Wait(request, "address", "none is free")
		of, during := tr.Work(ctx, "during", "assign 3 addresses")
		part := tr.Call(of, "AssignPrivateIpAddresses")
		alone := tr.Call(ctx, "DescribeNetworkInterfaces")
		time.Sleep(time.Second)
		part(cloud.Outcome{RequestID: "r-1", Attempts: 2})
		alone(cloud.Outcome{Err: errors.New("too many"), Code: "RequestLimitExceeded", Attempts: 5})
		during(errors.New("half of it"))
		wait(nil)
		under(nil)
		_, after := tr.Work(ctx, "after", "")
		after(nil)
		all := tr.read(t)
		w := all["wait address"]
		if w.Parent != flight.From(request).Span || w.Trace != flight.From(request).Trace || w.Duration != time.Second || w.Failed() {
			t.Errorf("the wait is %+v", w)
		}
		linked := map[flight.SpanID]bool{}
		for _, l := range w.Links {
			linked[l.Span] = true
		}
		for name, want := range map[string]bool{
			"action before": false, "action under": true, "action during": true, "ec2 DescribeNetworkInterfaces": true,
			"ec2 AssignPrivateIpAddresses": false, "action after": false,
		} {
			r, ok := all[name]
			if !ok || linked[r.Span] != want {
				t.Errorf("%s is linked: %v, want %v; recorded: %v", name, linked[r.Span], want, ok)
			}
		}
		action, ec2, bad := all["action during"], all["ec2 AssignPrivateIpAddresses"], all["ec2 DescribeNetworkInterfaces"]
		if ec2.Trace != action.Trace || ec2.Parent != action.Span || ec2.RequestID != "r-1" || ec2.Attempts != 2 || action.Error != "half of it" || bad.Code != "RequestLimitExceeded" {
			t.Errorf("%+v\n%+v\n%+v", action, ec2, bad)
		}
	})
}

func TestWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := tracer(t)
		tr.Wait(t.Context(), "short", "")(nil)
		long := tr.Wait(t.Context(), "in vain", "")
		var last flight.SpanID
		for range 3 * flight.MaxLinks {
			ctx, ended := tr.Work(t.Context(), "x", "")
			last = flight.From(ctx).Span
			defer ended(nil)
		}
		long(errors.New("no address"))
		all := tr.read(t)
		if len(all) != 1 || all["wait in vain"].Code != gaveUp {
			t.Fatalf("%+v", all)
		}
		if l := all["wait in vain"].Links; len(l) != flight.MaxLinks || l[len(l)-1].Span != last {
			t.Errorf("%d links, the last is %v, want %v", len(l), l[len(l)-1], last)
		}
	})
	if tr := tracer(t); len(tr.waits) != 0 || len(tr.work) != 0 {
		t.Error("something is under way")
	}
}

func TestIntercept(t *testing.T) {
	a := &ipamapi.Attachment{Network: "vpc", ContainerId: "c1", Ifname: "eth0"}
	parent, _ := flight.Parse(given)
	for name, c := range map[string]struct {
		method   string
		req      any
		metadata []string // values of traceparent
		err      error
		recorded bool
		below    bool
		code     string
	}{
		"Assign":      {ipamapi.IPAM_Assign_FullMethodName, &ipamapi.AssignRequest{Attachment: a, Pod: &ipamapi.Pod{Namespace: "default", Name: "web"}}, []string{given}, nil, true, true, ""},
		"no trace":    {ipamapi.IPAM_Release_FullMethodName, &ipamapi.ReleaseRequest{Attachment: a}, nil, nil, true, false, ""},
		"nonsense":    {ipamapi.IPAM_Check_FullMethodName, &ipamapi.CheckRequest{Attachment: a}, []string{"nonsense"}, nil, true, false, ""},
		"twice":       {ipamapi.IPAM_Check_FullMethodName, &ipamapi.CheckRequest{Attachment: a}, []string{given, given}, nil, true, false, ""},
		"error":       {ipamapi.IPAM_Assign_FullMethodName, &ipamapi.AssignRequest{Attachment: a}, []string{given}, status.Error(codes.ResourceExhausted, "none"), true, true, "ResourceExhausted"},
		"GC":          {ipamapi.IPAM_Collect_FullMethodName, &ipamapi.CollectRequest{Network: "vpc"}, []string{given}, nil, true, true, ""},
		"Status":      {ipamapi.IPAM_Status_FullMethodName, &ipamapi.StatusRequest{}, []string{given}, nil, false, false, ""},
		"another one": {ipamapi.Admin_Pool_FullMethodName, &ipamapi.PoolRequest{}, []string{given}, nil, false, false, ""},
		"no content":  {ipamapi.IPAM_Assign_FullMethodName, &ipamapi.AssignRequest{}, nil, nil, true, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			tr := tracer(t)
			ctx := metadata.NewIncomingContext(t.Context(), metadata.MD{"traceparent": c.metadata})
			var inside flight.Traceparent
			_, err := tr.Intercept(ctx, c.req, &grpc.UnaryServerInfo{FullMethod: c.method}, func(ctx context.Context, _ any) (any, error) {
				inside = flight.From(ctx)
				return &ipamapi.AssignReply{Address: "10.0.0.9", Eni: &ipamapi.ENI{Id: "eni-1"}}, c.err
			})
			if !errors.Is(err, c.err) {
				t.Errorf("the error became %v", err)
			}
			all, err := flight.Read(tr.recorder.Dir)
			if err != nil || (len(all) == 1) != c.recorded || inside.IsZero() == c.recorded {
				t.Fatalf("%+v, %v; inside %v", all, err, inside)
			}
			if !c.recorded {
				return
			}
			r := all[0]
			if (r.Trace == parent.Trace) != c.below || (r.Parent == parent.Span) != c.below || r.Span != inside.Span || r.Sampled == c.below || r.Code != c.code || r.Kind != flight.RPC {
				t.Errorf("%+v", r)
			}
			if name == "Assign" && (r.Attachment.ContainerID != "c1" || r.Pod != "default/web" || r.Text != "10.0.0.9 of eni-1" || r.Verb != "ADD") {
				t.Errorf("%+v", r)
			}
			if name == "GC" && (r.Attachment.Network != "vpc" || r.Verb != "GC") {
				t.Errorf("%+v", r)
			}
		})
	}
}

// A directory that cannot be made is told once, and then nothing is different.
func TestNoDirectory(t *testing.T) {
	tr, err := New(flight.Recorder{Dir: "/proc/1/trace"})
	if err == nil {
		t.Error("no error")
	}
	_, ended := tr.Work(t.Context(), "create", "")
	ended(nil)
}
