package growth

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/cloud"
	"github.com/vpcchain/vpcchain/daemon/internal/config"
	"github.com/vpcchain/vpcchain/daemon/internal/engine"
	"github.com/vpcchain/vpcchain/daemon/internal/placement"
	"github.com/vpcchain/vpcchain/daemon/internal/pool"
	"github.com/vpcchain/vpcchain/daemon/internal/state"
	"github.com/vpcchain/vpcchain/integration/vpcsim/ec2"
	"github.com/vpcchain/vpcchain/integration/vpcsim/ideal"
	"github.com/vpcchain/vpcchain/integration/vpcsim/topology"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

const vpc = `
vpc: {cidrs: [10.20.0.0/16]}
routeTables: [{id: rtb-main}]
securityGroups: [{id: sg-nodes}]
subnets: [{id: subnet-a, cidr: 10.20.0.0/20, az: us-west-2a, routeTable: rtb-main}]
instances: [{name: node, id: i-0123, type: %s, subnet: subnet-a, ip: 10.20.0.10, groups: [sg-nodes]}]
`

// result of a burst.
type result struct {
	served time.Duration // from the first ADD to the last answer
	calls  map[string]int
	limits ec2.Limits
}

// transport sends each request to the handler of its host, in the same goroutine.
type transport struct{ ec2, imds *ec2.DirectClient }

func (t transport) Do(r *http.Request) (*http.Response, error) {
	if r.URL.Hostname() == "169.254.169.254" {
		return t.imds.Do(r)
	}
	return t.ec2.Do(r)
}

// slow makes EC2 take its time.
func slow(sim *ec2.Sim) {
	l := latencies()
	for api, d := range map[string]time.Duration{
		ideal.Create: l.Create, ideal.Attach: l.Attach, ideal.Mark: l.Mark, ideal.Assign: l.Assign, ec2.AnyFault: asking,
	} {
		sim.Fault(ec2.Fault{Action: api, Latency: d / 2, ReplyLatency: d / 2})
	}
}

// calm is how long nothing must happen after the burst: a surplus would last a
// minute before it goes back.
const calm = 5 * time.Minute

// run lets the burst happen in virtual time.
func (b burst) run(t *testing.T) (out result) {
	t.Helper()
	c, err := config.Parse(func(name string) string { return b.env[name] })
	if err != nil {
		t.Fatal(err)
	}
	topo, err := topology.Parse(fmt.Appendf(nil, vpc, b.kind))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		sim, err := ec2.New(topo)
		if err != nil {
			t.Fatal(err)
		}
		if err := sim.SetConditions(b.ec2); err != nil {
			t.Fatal(err)
		}
		out.limits = sim.InstanceTypes()[b.kind]
		e, stop := boot(t, c, dir, sim)
		out.served = b.come(t, e)
		out.calls = calls(sim)
		time.Sleep(calm)
		for api, n := range calls(sim) {
			if more := n - out.calls[api]; more > 0 {
				t.Errorf("%d times %s in %s after the burst", more, api, calm)
			}
		}
		stop()
	})
	return out
}

// daemon is vpc-ipamd without its socket. It has begun to serve and its pool is
// empty: the loop, which fills it, starts with run.
type daemon struct {
	*engine.Engine
	run func()
}

func boot(t *testing.T, c config.Config, dir string, sim *ec2.Sim) (daemon, func()) {
	t.Helper()
	slow(sim)
	h := newHost(latencies().Link)
	sim.OnChange(h.plug)
	if err := h.plug(sim.Network()); err != nil {
		t.Fatal(err)
	}
	store, err := state.Open(filepath.Join(dir, "ipamd.db"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	aws, err := cloud.New(ctx, cloud.Options{Gate: cloud.NewBuckets().Wait, HTTPClient: transport{
		sim.Client(), ec2.NewDirectClient(sim.IMDS(func(*http.Request) (string, bool) { return "node", true })),
	}})
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	e := engine.New(engine.Deps{
		Config: c, ENIs: aws, Remover: aws, Addresses: aws, Metadata: aws, Groups: aws, Host: h, Store: store, Intents: store,
		Placement: placement.NewDiscovery(aws, c.ClusterName, log), StateDir: dir, Log: log,
	})
	if err := e.Start(ctx); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	return daemon{e, func() { go func() { ended <- e.Run(ctx) }() }}, func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}
}

// come is the burst: its ADDs begin when the daemon does. It returns when the last
// of them is served.
func (b burst) come(t *testing.T, e daemon) time.Duration {
	t.Helper()
	begin := time.Now()
	var all sync.WaitGroup
	for i := range b.pods {
		all.Go(func() {
			time.Sleep(time.Duration(i) * b.apart)
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			name := fmt.Sprintf("pod-%d", i)
			if _, err := e.Assign(ctx, vpcnet.Attachment{Network: "vpc", ContainerID: name, IfName: "eth0"}, pool.Pod{Namespace: "default", Name: name}); err != nil {
				t.Errorf("pod %d: %v", i, err)
			}
		})
	}
	synctest.Wait() // those of the first moment wait
	e.run()
	all.Wait()
	return time.Since(begin)
}

// calls counts those that succeeded by their API, others with their error too.
func calls(sim *ec2.Sim) map[string]int {
	out := map[string]int{}
	for _, c := range sim.Calls() {
		name := c.Action
		if c.Outcome != ec2.OK {
			name += " " + c.Outcome
		}
		out[name] += c.Count
	}
	return out
}
