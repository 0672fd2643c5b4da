package conformance

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/vpcchain/vpcchain/pkg/ipamapi"
)

// daemon is vpc-ipamd's contract over a map: addresses from 10.20.11.10 on,
// the same one for the same attachment, size of them.
type daemon struct {
	ipamapi.UnimplementedIPAMServer
	socket string
	server *grpc.Server

	mu     sync.Mutex
	size   int
	old    bool           // knows nothing of branch ENIs
	held   map[string]int // attachment -> last octet
	asked  map[string]string
	status *ipamapi.StatusReply
}

func key(a *ipamapi.Attachment) string {
	return a.GetNetwork() + "/" + a.GetContainerId() + "/" + a.GetIfname()
}

func newDaemon(t testing.TB) *daemon {
	t.Helper()
	d := &daemon{
		socket: filepath.Join(t.TempDir(), "s"), size: 100, held: map[string]int{},
		status: &ipamapi.StatusReply{State: ipamapi.StatusReply_STATE_OK},
	}
	d.start(t)
	t.Cleanup(func() { d.server.Stop() })
	return d
}

func (d *daemon) start(t testing.TB) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", d.socket)
	if err != nil {
		t.Fatal(err)
	}
	d.server = grpc.NewServer()
	ipamapi.RegisterIPAMServer(d.server, d)
	go func() { _ = d.server.Serve(l) }()
}

func (d *daemon) Assign(_ context.Context, r *ipamapi.AssignRequest) (*ipamapi.AssignReply, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	k := key(r.GetAttachment())
	if _, ok := d.held[k]; !ok {
		taken := map[int]bool{}
		for _, n := range d.held {
			taken[n] = true
		}
		n := 10
		for taken[n] {
			n++
		}
		if n >= 10+d.size {
			return nil, status.Error(codes.ResourceExhausted, "no free address: wait or move pods")
		}
		d.held[k] = n
	}
	d.asked = r.GetAnnotations()
	reply := &ipamapi.AssignReply{
		Address: fmt.Sprint("10.20.11.", d.held[k]), Subnet: "10.20.11.0/24", Gateway: "10.20.11.1",
		Eni: &ipamapi.ENI{Id: "eni-0f00", Mac: "02:00:00:00:00:01", Mtu: 9001},
	}
	if len(d.asked) > 0 && !d.old {
		reply.Subnet, reply.Gateway, reply.Address = "10.20.12.0/24", "10.20.12.1", fmt.Sprint("10.20.12.", d.held[k])
		reply.Branch = &ipamapi.Branch{Id: "eni-0b", Mac: "02:00:00:00:00:0b", VlanId: 153}
	}
	return reply, nil
}

func (d *daemon) Release(_ context.Context, r *ipamapi.ReleaseRequest) (*ipamapi.ReleaseReply, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.held, key(r.GetAttachment()))
	return &ipamapi.ReleaseReply{}, nil
}

func (d *daemon) Check(_ context.Context, r *ipamapi.CheckRequest) (*ipamapi.CheckReply, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if n, ok := d.held[key(r.GetAttachment())]; !ok || !slices.Contains([]string{fmt.Sprint("10.20.11.", n), fmt.Sprint("10.20.12.", n)}, r.GetAddress()) {
		return nil, status.Error(codes.NotFound, "the attachment does not hold "+r.GetAddress())
	}
	return &ipamapi.CheckReply{}, nil
}

func (d *daemon) Status(context.Context, *ipamapi.StatusRequest) (*ipamapi.StatusReply, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.status, nil
}

func (d *daemon) Collect(_ context.Context, r *ipamapi.CollectRequest) (*ipamapi.CollectReply, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	valid := map[string]bool{}
	for _, a := range r.GetValid() {
		valid[key(a)] = true
	}
	for k := range d.held {
		if !valid[k] && len(k) > len(r.GetNetwork()) && k[:len(r.GetNetwork())+1] == r.GetNetwork()+"/" {
			delete(d.held, k)
		}
	}
	return &ipamapi.CollectReply{}, nil
}

// holds is how many attachments have an address.
func (d *daemon) holds() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.held)
}
