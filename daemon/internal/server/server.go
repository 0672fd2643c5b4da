// Package server puts the engine on the unix socket: it translates between the
// gRPC contract and the engine's values, and lets nobody in but root.
package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/vpcchain/vpcchain/daemon/internal/branch"
	"github.com/vpcchain/vpcchain/daemon/internal/engine"
	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/daemon/internal/orphans"
	"github.com/vpcchain/vpcchain/daemon/internal/pool"
	"github.com/vpcchain/vpcchain/daemon/internal/trunking"
	"github.com/vpcchain/vpcchain/pkg/ipamapi"
	"github.com/vpcchain/vpcchain/pkg/snat"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// Listen binds the socket for root alone. It is bound under another name and
// renamed, so that a client finds the old socket or the new, never none; the
// caller knows by another lock that no other daemon runs.
func Listen(path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("listening on %s: %w", path, err)
	}
	tmp := path + ".new"
	_ = os.Remove(tmp)
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "unix", tmp)
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", path, err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	if err = os.Chmod(tmp, 0o600); err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listening on %s: %w", path, err), l.Close())
	}
	return rootOnly{l}, nil
}

// rootOnly refuses connections of other users: the mode of a socket file is
// only as good as the directory that somebody mounts elsewhere.
type rootOnly struct{ net.Listener }

// Accept returns the next connection of a process that runs as root.
func (r rootOnly) Accept() (net.Conn, error) {
	for {
		c, err := r.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if uid, err := peer(c); err == nil && uid == uint32(os.Geteuid()) {
			return c, nil
		}
		_ = c.Close()
	}
}

func peer(c net.Conn) (uid uint32, err error) {
	raw, err := c.(*net.UnixConn).SyscallConn()
	if err != nil {
		return 0, err
	}
	cerr := raw.Control(func(fd uintptr) {
		var cred *unix.Ucred
		if cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			uid = cred.Uid
		}
	})
	return uid, errors.Join(err, cerr)
}

// New is a gRPC server for the engine; the caller serves it on a listener. Its
// Stop returns when every request has put away what it began.
func New(e *engine.Engine, nat NAT, more ...grpc.ServerOption) *grpc.Server {
	s := grpc.NewServer(append(more, grpc.WaitForHandlers(true))...)
	ipamapi.RegisterIPAMServer(s, &ipam{e: e})
	ipamapi.RegisterAdminServer(s, &admin{e: e, nat: nat})
	return s
}

// Serve answers on the listener until the server is stopped, which may have been
// before: a daemon that is told to end while it starts.
func Serve(s *grpc.Server, l net.Listener) error {
	if err := s.Serve(l); !errors.Is(err, grpc.ErrServerStopped) {
		return err
	}
	return nil
}

// NAT is the keeping of the outbound NAT.
type NAT interface {
	Wish() (snat.Wish, error)
	Repairs() uint64
	Trouble() string
}

type ipam struct {
	ipamapi.UnimplementedIPAMServer
	e *engine.Engine
}

func attachment(a *ipamapi.Attachment) (vpcnet.Attachment, error) {
	out := vpcnet.Attachment{Network: a.GetNetwork(), ContainerID: a.GetContainerId(), IfName: a.GetIfname()}
	if _, ok := vpcnet.ParseAlias(out.Alias()); !ok {
		return vpcnet.Attachment{}, status.Errorf(codes.InvalidArgument, "attachment %q: network, container id and interface name must be set and have no slash", out)
	}
	return out, nil
}

// wayBack is what an answer gets at most of the client's time.
const wayBack = 250 * time.Millisecond

// ahead ends before the client's deadline does: at the deadline itself the
// client stops listening, and the reason why there was no address is lost.
func ahead(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, deadline.Add(-min(wayBack, time.Until(deadline)/5)))
}

func (s *ipam) Assign(ctx context.Context, r *ipamapi.AssignRequest) (*ipamapi.AssignReply, error) {
	a, err := attachment(r.GetAttachment())
	if err != nil {
		return nil, err
	}
	ctx, cancel := ahead(ctx)
	defer cancel()
	p := r.GetPod()
	pod := pool.Pod{Namespace: p.GetNamespace(), Name: p.GetName(), UID: p.GetUid(), Netns: orphans.VisibleNetns(r.GetNetns())}
	if wish := r.GetAnnotations(); len(wish) > 0 {
		return s.assignBranch(ctx, a, pod, wish)
	}
	got, err := s.e.Assign(ctx, a, pod)
	if err != nil {
		return nil, toStatus(err)
	}
	return &ipamapi.AssignReply{
		Address: got.Addr.String(), Subnet: got.ENI.Subnet.String(), Gateway: vpcnet.Router(got.ENI.Subnet).String(),
		Eni: &ipamapi.ENI{Id: got.ENI.ID, Mac: got.ENI.MAC, Mtu: uint32(got.MTU), Device: uint32(got.ENI.Device), Card: uint32(got.ENI.Card)},
	}, nil
}

func (s *ipam) assignBranch(ctx context.Context, a vpcnet.Attachment, pod pool.Pod, wish map[string]string) (*ipamapi.AssignReply, error) {
	got, err := s.e.AssignBranch(ctx, a, pod, wish)
	if err != nil {
		return nil, toStatus(err)
	}
	t := got.Carrier
	return &ipamapi.AssignReply{
		Address: got.Addr.String(), Subnet: got.Subnet.String(), Gateway: vpcnet.Router(got.Subnet).String(),
		Eni:    &ipamapi.ENI{Id: t.ID, Mac: t.MAC, Mtu: uint32(got.MTU), Device: uint32(t.Device), Card: uint32(t.Card)},
		Branch: &ipamapi.Branch{Id: got.ENI, Mac: got.MAC, VlanId: uint32(got.VLAN)},
	}, nil
}

func (s *ipam) Release(_ context.Context, r *ipamapi.ReleaseRequest) (*ipamapi.ReleaseReply, error) {
	a, err := attachment(r.GetAttachment())
	if err != nil {
		return nil, err
	}
	h, err := s.e.Release(a)
	if err != nil {
		return nil, toStatus(err)
	}
	if !h.Addr.IsValid() {
		return &ipamapi.ReleaseReply{}, nil
	}
	return &ipamapi.ReleaseReply{Address: h.Addr.String()}, nil
}

func (s *ipam) Check(_ context.Context, r *ipamapi.CheckRequest) (*ipamapi.CheckReply, error) {
	a, err := attachment(r.GetAttachment())
	if err != nil {
		return nil, err
	}
	return &ipamapi.CheckReply{}, toStatus(s.e.Check(a, r.GetAddress()))
}

func (s *ipam) Status(context.Context, *ipamapi.StatusRequest) (*ipamapi.StatusReply, error) {
	return statusReply(s.e.Status()), nil
}

func (s *ipam) Collect(_ context.Context, r *ipamapi.CollectRequest) (*ipamapi.CollectReply, error) {
	if r.GetNetwork() == "" {
		return nil, status.Error(codes.InvalidArgument, "Collect without a network would release every network's addresses")
	}
	var valid []vpcnet.Attachment
	for _, v := range r.GetValid() {
		a, err := attachment(v)
		if err != nil {
			return nil, err
		}
		valid = append(valid, a)
	}
	n, err := s.e.Collect(r.GetNetwork(), valid)
	if err != nil {
		return nil, toStatus(err)
	}
	return &ipamapi.CollectReply{Released: uint32(n)}, nil
}

func toStatus(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, branch.ErrBadWish), errors.Is(err, eni.ErrBadGroups):
		return status.Error(codes.InvalidArgument, err.Error())
	case errors.Is(err, engine.ErrNoAddress), errors.Is(err, engine.ErrNotRecorded), errors.Is(err, trunking.ErrNoBranch), errors.Is(err, trunking.ErrNotRecorded):
		return status.Error(codes.ResourceExhausted, err.Error())
	case errors.Is(err, engine.ErrUnknown):
		return status.Error(codes.NotFound, err.Error())
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return status.Error(codes.Unavailable, err.Error())
	}
	return status.Error(codes.Internal, err.Error())
}
