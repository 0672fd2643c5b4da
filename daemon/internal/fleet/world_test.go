// Package fleet lets a whole cluster's daemons work against one simulated region
// in virtual time: the real engine and cloud packages of each node, EC2 with its
// token buckets and latencies, and pods that ask as the kubelet does. It measures
// how long pods wait, what EC2 is asked, and how far both are from what its
// buckets allow. `make bench BENCH=fleet` writes the figures into docs/performance.md.
package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/config"
	"github.com/vpcchain/vpcchain/integration/vpcsim/ec2"
	"github.com/vpcchain/vpcchain/integration/vpcsim/ideal"
	"github.com/vpcchain/vpcchain/integration/vpcsim/topology"
)

// EC2's request buckets, of each API for an account in a region (EC2 Developer
// Guide, "Request throttling for the Amazon EC2 API"; the pull request 675 of
// amazon-vpc-resource-controller-k8s goes by the same figures): calls that change
// something 50 at once and 5 a second, those that ask with a filter 100 and 20.
// The simulation's defaults are these.
const (
	burst     = 50
	perSecond = 5
)

// latencies of EC2, of which half passes before a call's effect. That an attach
// takes some 2 s and a link 1 s more is what operators see; none is guaranteed.
func latencies() ideal.Latencies {
	return ideal.Latencies{
		Create: 500 * time.Millisecond, Attach: 2 * time.Second, Mark: 100 * time.Millisecond, Assign: 500 * time.Millisecond, Link: time.Second,
	}
}

// asking is how long a Describe takes.
const asking = 100 * time.Millisecond

// kind is the nodes' type: 8 ENIs with 30 addresses each.
const kind = "m5.4xlarge"

// perSubnet is how many nodes share a /16: each may take 120 addresses.
const perSubnet = 500

// mode is how the nodes grow.
type mode struct {
	name     string
	perPiece int
	env      map[string]string
}

func modes() []mode {
	return []mode{
		{"secondary addresses", 1, map[string]string{"MAX_PODS": "110"}},
		{"prefixes", 16, map[string]string{"MAX_PODS": "110", "ENABLE_PREFIX_DELEGATION": "true"}},
	}
}

// world is a region with a cluster in it, in a bubble of virtual time.
type world struct {
	mode
	dir     string
	config  config.Config
	sim     *ec2.Sim
	nodes   []*node
	log     *slog.Logger
	traffic traffic
	life    sync.WaitGroup

	mu    sync.Mutex
	waits map[*node][]time.Duration // how long its pods waited
	wrong []string
	text  strings.Builder
}

func (w *world) fail(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wrong = append(w.wrong, fmt.Sprintf(format, args...))
}

// Write takes the daemons' logs.
func (w *world) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.text.Len() < 1<<16 {
		w.text.Write(p)
	}
	return len(p), nil
}

func (w *world) served(n *node, after time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waits[n] = append(w.waits[n], after)
}

func (w *world) imds(name string) http.Handler {
	return w.sim.IMDS(func(*http.Request) (string, bool) { return name, true })
}

// plan is the topology of so many nodes.
func plan(nodes int) topology.Topology {
	t := topology.Topology{
		Region: "us-west-2", VPC: topology.VPC{ID: "vpc-0a1b2c3d"}, RouteTables: []topology.RouteTable{{ID: "rtb-main"}}, SecurityGroups: []topology.SecurityGroup{{ID: "sg-nodes"}},
	}
	// Accounts have 5,000 ENIs in a region unless AWS raises it, which such a fleet needs.
	t.ENIQuota = 100_000
	t.Throttling = &topology.Throttling{}
	for i := range nodes {
		in := i % perSubnet
		if in == 0 {
			cidr := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(len(t.Subnets)), 0, 0}), 16) //nolint:gosec // some ten
			t.VPC.CIDRs = append(t.VPC.CIDRs, cidr)
			t.Subnets = append(t.Subnets, topology.Subnet{ID: fmt.Sprintf("subnet-%d", len(t.Subnets)), CIDR: cidr, AZ: "us-west-2a", RouteTable: "rtb-main"})
		}
		s := t.Subnets[len(t.Subnets)-1]
		net := s.CIDR.Addr().As4()
		// The nodes' own addresses lie apart, so that they break no /28.
		ip := netip.AddrFrom4([4]byte{net[0], net[1], 252 + byte(in/250), byte(4 + in%250)})
		t.Instances = append(t.Instances, topology.Instance{
			Name: fmt.Sprintf("node-%d", i), ID: fmt.Sprintf("i-%017x", 0x1000+i), Type: kind, Subnet: s.ID, IP: ip, Groups: []string{"sg-nodes"},
		})
	}
	return t
}

// live runs a cluster of so many nodes, which start at the same moment, and lets
// story happen to it.
func live(t *testing.T, m mode, nodes int, story func(*world)) {
	t.Helper()
	c, err := config.Parse(func(name string) string { return m.env[name] })
	if err != nil {
		t.Fatal(err)
	}
	w := &world{mode: m, dir: t.TempDir(), config: c, waits: map[*node][]time.Duration{}}
	w.log = quiet(w)
	synctest.Test(t, func(t *testing.T) {
		var err error
		if w.sim, err = ec2.New(plan(nodes)); err != nil {
			t.Fatal(err)
		}
		l := latencies()
		for api, d := range map[string]time.Duration{
			ideal.Create: l.Create, ideal.Attach: l.Attach, ideal.Mark: l.Mark, ideal.Assign: l.Assign, ec2.AnyFault: asking,
		} {
			w.sim.Fault(ec2.Fault{Action: api, Latency: d / 2, ReplyLatency: d / 2})
		}
		ctx, cancel := context.WithCancel(context.Background())
		for i := range nodes {
			n := &node{w: w, name: fmt.Sprintf("node-%d", i), ready: make(chan struct{})}
			w.nodes = append(w.nodes, n)
			w.life.Go(func() {
				if err := n.run(ctx); err != nil && !errors.Is(err, context.Canceled) {
					w.fail("%s: %v", n.name, err)
				}
			})
		}
		story(w)
		cancel()
		w.life.Wait()
	})
	for _, text := range w.wrong[:min(len(w.wrong), 10)] {
		t.Error(text)
	}
	if t.Failed() {
		t.Log(w.text.String())
	}
}

// come has pods begin on every node at this moment, and returns how long they
// waited, in order, once all have an address.
func (w *world) come(first, n int) []time.Duration {
	w.mu.Lock()
	w.waits = map[*node][]time.Duration{}
	w.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), longest)
	defer cancel()
	var all sync.WaitGroup
	for _, node := range w.nodes {
		for p := range n {
			all.Go(func() { node.add(ctx, first+p) })
		}
	}
	all.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []time.Duration
	for _, node := range w.nodes {
		if len(w.waits[node]) != n {
			w.wrong = append(w.wrong, fmt.Sprintf("%s: %d of %d pods have an address after %s", node.name, len(w.waits[node]), n, longest))
		}
		out = append(out, w.waits[node]...)
	}
	slices.Sort(out)
	return out
}

// leave ends pods of every node at this moment.
func (w *world) leave(first, n int) {
	for _, node := range w.nodes {
		for p := range n {
			if _, err := node.e.Release(attachment(first + p)); err != nil {
				w.fail("%s: releasing pod %d: %v", node.name, first+p, err)
			}
		}
	}
}

// longest is how long a story waits for all pods: some times what the largest needs.
const longest = 6 * time.Hour

// still is how long nothing may be asked of EC2 for the region to count as calm:
// a surplus lasts a minute before it goes back, a daemon tries again within 90 s.
const still = 3 * time.Minute

// calm waits until EC2 is asked nothing any more and says when that began.
func (w *world) calm() time.Duration {
	begin := time.Now()
	last, seen := time.Now(), w.requests()
	for time.Since(last) < still && time.Since(begin) < longest {
		time.Sleep(time.Second)
		if now := w.requests(); now != seen {
			last, seen = time.Now(), now
		}
	}
	return last.Sub(begin)
}

func (w *world) requests() int {
	w.traffic.mu.Lock()
	defer w.traffic.mu.Unlock()
	return w.traffic.total
}

// anew starts the counts.
func (w *world) anew() {
	w.traffic.reset()
	for _, n := range w.nodes {
		n.calls.reset()
	}
}
