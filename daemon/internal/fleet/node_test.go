package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/cloud"
	"github.com/vpcchain/vpcchain/daemon/internal/engine"
	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/daemon/internal/hostnet"
	"github.com/vpcchain/vpcchain/daemon/internal/intent"
	"github.com/vpcchain/vpcchain/daemon/internal/placement"
	"github.com/vpcchain/vpcchain/daemon/internal/pool"
	"github.com/vpcchain/vpcchain/integration/vpcsim/ec2"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// A pod asks as long as vpc-ipam does, and again when the kubelet tries again:
// its pod workers wait 10 s and up to half as much more after an error (kubelet,
// backOffPeriod and workerBackOffPeriodJitterFactor).
const (
	patience = 20 * time.Second
	backOff  = 10 * time.Second
)

// node is a machine of the cluster: the real engine and cloud packages on a state
// in memory and a kernel of links alone.
type node struct {
	w     *world
	name  string
	e     *engine.Engine
	ready chan struct{} // closed when the daemon serves
	calls callLog

	mu      sync.Mutex
	changes int // what EC2 has changed of the node, counted
}

// run is vpc-ipamd's main, from the moment the machine is up.
func (n *node) run(ctx context.Context) error {
	dir := filepath.Join(n.w.dir, n.name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	aws, err := cloud.New(ctx, cloud.Options{Gate: cloud.NewBuckets().Wait, HTTPClient: &wire{n, n.w.sim.Client(), ec2.NewDirectClient(n.w.imds(n.name))}})
	if err != nil {
		return err
	}
	books := &books{held: map[vpcnet.Attachment]pool.Allocation{}, freed: map[netip.Addr]time.Time{}, intents: map[string]intent.Intent{}}
	n.e = engine.New(engine.Deps{
		Config: n.w.config, ENIs: aws, Remover: aws, Addresses: aws, Metadata: &metadata{Client: aws, n: n}, Groups: aws,
		Host: newHost(), Store: books, Intents: books, Placement: placement.NewDiscovery(aws, n.w.config.ClusterName, n.w.log), StateDir: dir, Log: n.w.log,
	})
	if err := n.e.Start(ctx); err != nil {
		return err
	}
	close(n.ready)
	return n.e.Run(ctx)
}

func attachment(pod int) vpcnet.Attachment {
	return vpcnet.Attachment{Network: "vpc", ContainerID: fmt.Sprintf("pod-%d", pod), IfName: "eth0"}
}

// add is a pod's way to its address; it ends with the world.
func (n *node) add(ctx context.Context, p int) {
	begin := time.Now()
	<-n.ready
	for {
		once, cancel := context.WithTimeout(ctx, patience)
		_, err := n.e.Assign(once, attachment(p), pool.Pod{Namespace: "default", Name: fmt.Sprintf("pod-%d", p)})
		cancel()
		switch {
		case err == nil:
			n.w.served(n, time.Since(begin))
			return
		case ctx.Err() != nil:
			return
		case !errors.Is(err, engine.ErrNoAddress):
			n.w.fail("%s, pod %d: %v", n.name, p, err)
		}
		time.Sleep(backOff + rand.N(backOff/2)) //nolint:gosec // jitter
	}
}

// wire carries the node's requests and counts them.
type wire struct {
	n         *node
	ec2, imds *ec2.DirectClient
}

func (w *wire) Do(r *http.Request) (*http.Response, error) {
	if r.URL.Hostname() == "169.254.169.254" {
		return w.imds.Do(r)
	}
	call := w.n.calls.begin(r)
	w.n.w.traffic.count(time.Now())
	resp, err := w.ec2.Do(r)
	w.n.calls.end(call, resp)
	if err == nil && resp.StatusCode == http.StatusOK {
		w.n.mu.Lock()
		w.n.changes++
		w.n.mu.Unlock()
	}
	return resp, err
}

// metadata is the IMDS client. What it says changes with what EC2 does to the
// node and with nothing else, and reading it each time would be most of the
// simulation's work.
type metadata struct {
	*cloud.Client
	n *node

	mu   sync.Mutex
	at   int // n.changes at the reading
	node eni.Node
	enis []eni.ENI
}

func (m *metadata) old() (at int, old bool) {
	m.n.mu.Lock()
	defer m.n.mu.Unlock()
	return m.n.changes, m.at != m.n.changes
}

func (m *metadata) Node(ctx context.Context) (eni.Node, error) {
	m.mu.Lock()
	kept := m.node
	m.mu.Unlock()
	if kept.InstanceID != "" {
		return kept, nil
	}
	read, err := m.Client.Node(ctx)
	if err == nil {
		m.mu.Lock()
		m.node = read
		m.mu.Unlock()
	}
	return read, err
}

func (m *metadata) ENIs(ctx context.Context) ([]eni.ENI, error) {
	m.mu.Lock()
	at, old := m.old()
	kept := slices.Clone(m.enis)
	m.mu.Unlock()
	if !old && kept != nil {
		return kept, nil
	}
	read, err := m.Client.ENIs(ctx)
	if err == nil {
		m.mu.Lock()
		m.enis, m.at = slices.Clone(read), at
		m.mu.Unlock()
	}
	return read, err
}

// books are the daemon's state in memory.
type books struct {
	mu      sync.Mutex
	held    map[vpcnet.Attachment]pool.Allocation
	freed   map[netip.Addr]time.Time
	intents map[string]intent.Intent
}

func (b *books) Load() ([]pool.Allocation, map[netip.Addr]time.Time, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Collect(maps.Values(b.held)), maps.Clone(b.freed), nil
}

func (b *books) Hold(a pool.Allocation) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held[a.Attachment] = a
	delete(b.freed, a.Addr)
	return nil
}

func (b *books) Release(at time.Time, gone ...pool.Allocation) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, a := range gone {
		delete(b.held, a.Attachment)
		b.freed[a.Addr] = at
	}
	return nil
}

func (b *books) Trouble() error { return nil }

func (b *books) Intents() ([]intent.Intent, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Collect(maps.Values(b.intents)), nil
}

func (b *books) Intend(in intent.Intent) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.intents[in.ID] = in
	return nil
}

func (b *books) Done(id string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.intents, id)
	return nil
}

// host is the node's kernel as far as links go: an ENI's is there some time after
// the daemon knows that it is attached.
type host struct {
	news chan struct{}
	mu   sync.Mutex
	up   map[string]time.Time // MAC -> when its link is there
}

func newHost() *host { return &host{news: make(chan struct{}, 1), up: map[string]time.Time{}} }

func (h *host) Sync(_ context.Context, d hostnet.Desired) (hostnet.Observed, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	obs := hostnet.Observed{Primary: hostnet.Link{Name: "eth0", MTU: d.MTU, Ready: true}, ENIs: map[string]hostnet.Link{}}
	for _, e := range d.ENIs {
		at, known := h.up[e.MAC]
		if !known {
			if at = now; !e.Primary.IsValid() || e.Device > 0 {
				at = now.Add(latencies().Link)
				time.AfterFunc(latencies().Link, func() {
					select {
					case h.news <- struct{}{}:
					default:
					}
				})
			}
			h.up[e.MAC] = at
		}
		l := hostnet.Link{Reason: "its link is not there yet"}
		if !at.After(now) {
			l = hostnet.Link{Name: fmt.Sprintf("eth%d", e.Device), Index: e.Device + 2, MTU: d.MTU, Ready: true}
		}
		obs.ENIs[e.ID] = l
	}
	return obs, nil
}

func (h *host) EnsureFrom(netip.Prefix, int) error { return nil }

func (h *host) Watch(context.Context) (<-chan struct{}, error) { return h.news, nil }

// quiet is a log of what the daemon cannot do by itself: errors.
func quiet(w *world) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelError}))
}
