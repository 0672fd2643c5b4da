package ipamclient

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/vpcchain/vpcchain/pkg/cnierr"
	"github.com/vpcchain/vpcchain/pkg/ipamapi"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// daemon holds one address, and says no to a container of the name of a code.
type daemon struct {
	ipamapi.UnimplementedIPAMServer
	holder atomic.Pointer[vpcnet.Attachment]
	state  ipamapi.StatusReply_State
	slow   chan struct{} // not nil: an Assign waits until its caller has gone, and tells here that it has begun
}

var errNone = status.Error(codes.NotFound, "no such attachment")

func (d *daemon) holds(a *ipamapi.Attachment) error {
	for code := codes.Canceled; code <= codes.Unauthenticated; code++ {
		if a.GetContainerId() == code.String() {
			return status.Error(code, "as you like")
		}
	}
	if h := d.holder.Load(); h == nil || *h != (vpcnet.Attachment{Network: a.GetNetwork(), ContainerID: a.GetContainerId(), IfName: a.GetIfname()}) {
		return errNone
	}
	return nil
}

func (d *daemon) Assign(ctx context.Context, r *ipamapi.AssignRequest) (*ipamapi.AssignReply, error) {
	if d.slow != nil {
		d.slow <- struct{}{}
		<-ctx.Done()
	}
	a := r.GetAttachment()
	if err := d.holds(a); err != nil && !errors.Is(err, errNone) {
		return nil, err
	}
	d.holder.Store(&vpcnet.Attachment{Network: a.GetNetwork(), ContainerID: a.GetContainerId(), IfName: a.GetIfname()})
	reply := &ipamapi.AssignReply{Address: "10.0.0.9", Subnet: "10.0.0.0/24", Gateway: "10.0.0.1", Eni: &ipamapi.ENI{Id: "eni-1", Mac: "02:00:00:00:00:01", Mtu: 9001}}
	if r.GetAnnotations()["branch"] != "" {
		reply.Branch = &ipamapi.Branch{Id: "eni-2", Mac: "02:00:00:00:00:02", VlanId: uint32(len(r.GetAnnotations()["branch"]))}
	}
	if r.GetNetns() == "nonsense" {
		reply.Address = r.GetPod().GetName()
	}
	return reply, nil
}

func (d *daemon) Release(_ context.Context, r *ipamapi.ReleaseRequest) (*ipamapi.ReleaseReply, error) {
	if err := d.holds(r.GetAttachment()); err != nil {
		return nil, err
	}
	d.holder.Store(nil)
	return &ipamapi.ReleaseReply{}, nil
}

func (d *daemon) Check(_ context.Context, r *ipamapi.CheckRequest) (*ipamapi.CheckReply, error) {
	if err := d.holds(r.GetAttachment()); err != nil {
		return nil, err
	}
	if r.GetAddress() != "10.0.0.9" {
		return nil, errNone
	}
	return &ipamapi.CheckReply{}, nil
}

func (d *daemon) Collect(_ context.Context, r *ipamapi.CollectRequest) (*ipamapi.CollectReply, error) {
	for _, a := range r.GetValid() {
		if d.holds(a) == nil {
			return &ipamapi.CollectReply{}, nil
		}
	}
	if h := d.holder.Load(); h != nil && h.Network == r.GetNetwork() {
		d.holder.Store(nil)
	}
	return &ipamapi.CollectReply{}, nil
}

func (d *daemon) Status(context.Context, *ipamapi.StatusRequest) (*ipamapi.StatusReply, error) {
	return &ipamapi.StatusReply{State: d.state, Reason: "the reason"}, nil
}

// listen serves d on the socket until the server is stopped.
func listen(t *testing.T, socket string, d *daemon) *grpc.Server {
	t.Helper()
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	ipamapi.RegisterIPAMServer(s, d)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return s
}

func wantClass(t *testing.T, err error, class cnierr.Class, parts ...string) {
	t.Helper()
	e, ok := errors.AsType[*types.Error](cnierr.From(err))
	if !ok || e.Code != uint(class) {
		t.Fatalf("%v, want an error of class %d", err, class)
	}
	for _, p := range parts {
		if !strings.Contains(e.Msg, p) {
			t.Errorf("%q does not say %q", e.Msg, p)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestCalls(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	d := &daemon{}
	listen(t, socket, d)
	c, ctx := New(socket), t.Context()
	a, _ := att("vpc", "c1", "eth0")
	b, _ := att("vpc", "c2", "eth0")
	addr := netip.MustParseAddr("10.0.0.9")
	want := Address{Addr: addr, Subnet: netip.MustParsePrefix("10.0.0.0/24"), Router: netip.MustParseAddr("10.0.0.1"), ENI: "eni-1", MAC: "02:00:00:00:00:01", MTU: 9001}
	got, err := c.Assign(ctx, Request{Attachment: a})
	must(t, err)
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})); diff != "" {
		t.Error(diff)
	}
	must(t, c.Check(ctx, a, addr))
	wantClass(t, c.Check(ctx, b, addr), cnierr.UnknownPod, "no such attachment")
	wantClass(t, c.Check(ctx, a, addr.Next()), cnierr.UnknownPod)
	var many []vpcnet.Attachment // more than the window of a connection
	for range 2000 {
		many = append(many, vpcnet.Attachment{Network: "vpc", ContainerID: strings.Repeat("f", 64), IfName: "eth0"})
	}
	must(t, c.Collect(ctx, "vpc", append(many, a)))
	must(t, c.Check(ctx, a, addr))
	must(t, c.Collect(ctx, "vpc", many))
	wantClass(t, c.Release(ctx, a), cnierr.UnknownPod)
	got, err = c.Assign(ctx, Request{Attachment: a, Annotations: map[string]string{"branch": "seven.."}})
	must(t, err)
	if diff := cmp.Diff(&Branch{ID: "eni-2", MAC: "02:00:00:00:00:02", VLAN: 7}, got.Branch); diff != "" {
		t.Error(diff)
	}
	must(t, c.Release(ctx, a))
	_, err = c.Assign(ctx, Request{Attachment: a, Annotations: map[string]string{"branch": strings.Repeat("x", 4095)}})
	wantClass(t, err, cnierr.Internal, "4095")
	_, err = c.Assign(ctx, Request{Attachment: a, Netns: "nonsense", Pod: Pod{Name: "no address"}})
	wantClass(t, err, cnierr.Internal, "no address")
}

func TestClasses(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	d := &daemon{}
	listen(t, socket, d)
	c := New(socket)
	for code := codes.Canceled; code <= codes.Unauthenticated; code++ {
		want := cnierr.Internal
		switch code {
		case codes.InvalidArgument:
			want = cnierr.Config
		case codes.Unavailable, codes.DeadlineExceeded, codes.ResourceExhausted, codes.Canceled:
			want = cnierr.TryAgain
		case codes.NotFound:
			want = cnierr.UnknownPod
		}
		a, _ := att("vpc", code.String(), "eth0")
		wantClass(t, c.Release(t.Context(), a), want)
		if code != codes.Unavailable { // that is asked again for a while
			_, err := c.Assign(t.Context(), Request{Attachment: a})
			wantClass(t, err, want)
		}
	}
	must(t, c.Status(t.Context()))
	d.state = ipamapi.StatusReply_STATE_UNAVAILABLE
	wantClass(t, c.Status(t.Context()), cnierr.NotAvailable, "the reason")
	d.state = ipamapi.StatusReply_STATE_LIMITED
	wantClass(t, c.Status(t.Context()), cnierr.Limited, "the reason")
}

// The daemon is killed while an Assign waits, and another one takes its place.
func TestDaemonRestarts(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	first := &daemon{slow: make(chan struct{})}
	s := listen(t, socket, first)
	next := make(chan struct{})
	go func() {
		defer close(next)
		<-first.slow
		s.Stop()
		time.Sleep(5 * retryEvery)
		listen(t, socket, &daemon{})
	}()
	a, _ := att("vpc", "c1", "eth0")
	got, err := New(socket).Assign(t.Context(), Request{Attachment: a})
	<-next
	if err != nil || got.ENI != "eni-1" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestDaemonIsAway(t *testing.T) {
	c := New(filepath.Join(t.TempDir(), "s"))
	a, _ := att("vpc", "c1", "eth0")
	begin := time.Now()
	wantClass(t, c.Release(t.Context(), a), cnierr.TryAgain, "is it running")
	wantClass(t, c.Status(t.Context()), cnierr.NotAvailable, c.socket, "is it running")
	if took := time.Since(begin); took > restartWindow/2 {
		t.Errorf("asked again for %s", took)
	}
	_, err := c.Assign(t.Context(), Request{Attachment: a})
	wantClass(t, err, cnierr.TryAgain, c.socket, "is it running")
	if took := time.Since(begin); took < restartWindow {
		t.Errorf("gave up after %s", took)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*retryEvery)
	defer cancel()
	_, err = c.Assign(ctx, Request{Attachment: a})
	wantClass(t, err, cnierr.TryAgain)
}
