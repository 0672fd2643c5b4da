package server

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/config"
	"github.com/vpcchain/vpcchain/daemon/internal/engine"
	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/daemon/internal/hostnet"
	"github.com/vpcchain/vpcchain/daemon/internal/snatkeep"
	"github.com/vpcchain/vpcchain/daemon/internal/state"
	"github.com/vpcchain/vpcchain/pkg/ipamclient"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// cloud is an EC2 where each call succeeds at once, within the instance's limits.
type cloud struct {
	mu     sync.Mutex
	limits eni.Limits
	enis   []eni.ENI
	next   netip.Addr
}

func (c *cloud) add(device, n int) eni.ENI {
	e := eni.ENI{
		ID: fmt.Sprintf("eni-%d", len(c.enis)), MAC: fmt.Sprintf("02:00:00:00:00:%02x", len(c.enis)), Device: device,
		SubnetID: "subnet-1", Subnet: netip.MustParsePrefix("10.0.0.0/16"), Primary: c.addrs(1)[0], Addresses: c.addrs(n),
	}
	c.enis = append(c.enis, e)
	return e
}

func (c *cloud) addrs(n int) []netip.Addr {
	var out []netip.Addr
	for range n {
		out = append(out, c.next)
		c.next = c.next.Next()
	}
	return out
}

func (c *cloud) index(id string) int {
	return slices.IndexFunc(c.enis, func(e eni.ENI) bool { return e.ID == id })
}

func (c *cloud) Describe(context.Context) ([]eni.ENI, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.enis), nil
}

func (c *cloud) Create(_ context.Context, spec eni.CreateSpec) (eni.ENI, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.add(-1, spec.Addresses), nil
}

func (c *cloud) Attach(_ context.Context, id string, _, device int) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.enis[c.index(id)].Device = device
	return "attach-" + id, nil
}

func (c *cloud) Available(context.Context, map[string]string) ([]eni.ENI, error) { return nil, nil }

func (c *cloud) DeleteWithInstance(context.Context, string, string) error { return nil }
func (c *cloud) Detach(context.Context, string) error                     { return nil }
func (c *cloud) Delete(context.Context, string) error                     { return nil }

func (c *cloud) Assign(_ context.Context, id string, n int) ([]netip.Addr, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := &c.enis[c.index(id)]
	if len(e.Addresses)+n > c.limits.Secondary() {
		return nil, eni.ErrAddressLimit
	}
	addrs := c.addrs(n)
	e.Addresses = append(slices.Clip(e.Addresses), addrs...)
	return addrs, nil
}

func (c *cloud) Unassign(context.Context, string, []netip.Addr) error { return nil }

func (c *cloud) AssignPrefixes(_ context.Context, id string, n int) ([]netip.Prefix, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := &c.enis[c.index(id)]
	for range n {
		e.Prefixes = append(slices.Clip(e.Prefixes), netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 1, byte(len(e.Prefixes)), 0}), eni.PrefixBits))
	}
	return e.Prefixes[len(e.Prefixes)-n:], nil
}

func (c *cloud) UnassignPrefixes(context.Context, string, []netip.Prefix) error { return nil }

func (c *cloud) Node(context.Context) (eni.Node, error) {
	return eni.Node{InstanceID: "i-1", InstanceType: "t3.small", PrimaryENI: "eni-0", PrimaryIP: c.enis[0].Primary}, nil
}

func (c *cloud) ENIs(ctx context.Context) ([]eni.ENI, error) { return c.Describe(ctx) }

func (c *cloud) Limits(context.Context, string) (eni.Limits, error) { return c.limits, nil }

// kernel has every link ready.
type kernel struct {
	mu       sync.Mutex
	degraded []string
	events   chan struct{}
}

func (k *kernel) Sync(_ context.Context, d hostnet.Desired) (hostnet.Observed, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	obs := hostnet.Observed{ENIs: map[string]hostnet.Link{}, Degraded: k.degraded}
	for _, e := range d.ENIs {
		obs.ENIs[e.ID] = hostnet.Link{Name: fmt.Sprintf("eth%d", e.Device), MTU: 9001, Ready: true}
	}
	return obs, nil
}

func (k *kernel) EnsureFrom(netip.Prefix, int) error { return nil }

func (k *kernel) Watch(context.Context) (<-chan struct{}, error) { return k.events, nil }

// rig is a daemon on a socket with a client.
type rig struct {
	*ipamclient.Client
	socket string
	kernel *kernel
	engine *engine.Engine
}

// newRig starts a daemon on an instance with these limits and a warm pool of warm.
func newRig(t *testing.T, limits eni.Limits, warm int) *rig {
	t.Helper()
	dir := t.TempDir()
	c := &cloud{limits: limits, next: netip.MustParseAddr("10.0.0.10")}
	c.add(0, min(warm, limits.Secondary()))
	r := &rig{socket: filepath.Join(dir, "run", "ipamd.sock"), kernel: &kernel{events: make(chan struct{})}}
	store, err := state.Open(filepath.Join(dir, "ipamd.db"))
	must(t, err)
	r.engine = engine.New(engine.Deps{
		Config: config.Config{WarmIP: warm, Cooldown: time.Hour, ENIMTU: 9001, VethPrefix: "eni"},
		ENIs:   c, Remover: c, Addresses: c, Metadata: c, Host: r.kernel, Store: store, Intents: store, StateDir: dir, Log: slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(t.Context())
	must(t, r.engine.Start(ctx))
	ended := make(chan error, 1)
	go func() { ended <- r.engine.Run(ctx) }()
	l, err := Listen(r.socket)
	must(t, err)
	rpc := New(r.engine, snatkeep.New(filepath.Join(t.TempDir(), "node.json"), nil))
	served := make(chan error, 1)
	go func() { served <- Serve(rpc, l) }()
	r.Client = ipamclient.New(r.socket)
	t.Cleanup(func() {
		cancel()
		rpc.Stop()
		for _, err := range []error{<-ended, <-served, store.Close()} {
			if err != nil {
				t.Error(err)
			}
		}
	})
	return r
}

func att(id string) vpcnet.Attachment {
	return vpcnet.Attachment{Network: "vpc", ContainerID: id, IfName: "eth0"}
}

func (r *rig) mustAssign(t *testing.T, id string) ipamclient.Address {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	a, err := r.Assign(ctx, ipamclient.Request{Attachment: att(id), Pod: ipamclient.Pod{Namespace: "ns", Name: id, UID: "u-" + id}, Netns: "/run/netns/x"})
	must(t, err)
	return a
}
