package soak

import (
	"fmt"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/config"
	"github.com/vpcchain/vpcchain/integration/vpcsim/ec2"
	"github.com/vpcchain/vpcchain/integration/vpcsim/topology"
)

const nodeName = "node"

const vpc = `
vpc: {cidrs: [10.20.0.0/16]}
routeTables: [{id: rtb-main}]
securityGroups: [{id: sg-nodes}]
subnets: [{id: subnet-a, cidr: %s, az: us-west-2a, routeTable: rtb-main}]
instances: [{name: node, id: i-0123, type: %s, subnet: subnet-a, ip: 10.20.0.10, groups: [sg-nodes]}]
`

// world is a node with its EC2, kernel and runtime, in a bubble of virtual time.
type world struct {
	schedule
	config config.Config
	sim    *ec2.Sim
	api    *ec2.DirectClient
	imds   http.Handler
	kernel *kernel
	booted time.Time
	base   string // directory of the state directories
	serial int
	life   sync.WaitGroup // goroutines that must end before the bubble does

	mu     sync.Mutex
	now    *process
	pods   map[int]*pod
	rested map[netip.Addr]time.Time // when the pod that had it was taken away
	torn   map[netip.Prefix]bool    // what ENIs had that somebody detached
	wrong  []string
	log    strings.Builder
	tally  tally
}

// pod is what the runtime knows.
type pod struct {
	n      int
	adding chan struct{} // closed when the ADD has ended
	addr   netip.Addr    // while it lives
	lost   bool          // it went without a DEL
	doomed bool          // somebody detached the ENI of its address
}

func (w *world) dirOf(n int) string { return filepath.Join(w.base, fmt.Sprint(n)) }

// nextDir is the newest state directory.
func (w *world) nextDir() string { return w.dirOf(w.serial) }

// fail notes a violation; the schedule goes on.
func (w *world) fail(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wrong = append(w.wrong, time.Now().Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
}

func (w *world) logf(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	fmt.Fprintf(&w.log, time.Now().Format("15:04:05.000 ")+format+"\n", args...)
}

// Write takes the daemon's log.
func (w *world) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.Write(p)
}

// run lets a schedule happen and returns what it violated.
func run(t *testing.T, s schedule, sum *tally) (wrong []string, log string) {
	t.Helper()
	c, err := config.Parse(func(name string) string { return s.env[name] })
	if err != nil {
		t.Fatal(err)
	}
	topo, err := topology.Parse(fmt.Appendf(nil, vpc, s.subnet, s.kind))
	if err != nil {
		t.Fatal(err)
	}
	base := t.TempDir()
	synctest.Test(t, func(*testing.T) {
		sim, err := ec2.New(topo)
		if err != nil {
			t.Error(err)
			return
		}
		w := &world{
			schedule: s, config: c, sim: sim, api: sim.Client(), kernel: newKernel(), booted: time.Now(), base: base, pods: map[int]*pod{}, rested: map[netip.Addr]time.Time{}, torn: map[netip.Prefix]bool{},
			imds: sim.IMDS(func(*http.Request) (string, bool) { return nodeName, true }),
		}
		w.live()
		sum.add(w)
		wrong, log = w.wrong, w.log.String()
	})
	return wrong, log
}

func (w *world) live() {
	w.sim.OnChange(w.kernel.plug)
	if err := w.kernel.plug(w.sim.Network()); err != nil {
		w.fail("plugging: %v", err)
	}
	w.now = w.boot()
	start := time.Now()
	w.tally.schedules++
	for _, e := range w.events {
		time.Sleep(time.Until(start.Add(e.at)))
		w.logf("--- %s", e)
		w.happen(e)
	}
	w.settle()
	w.disturbed()
	w.check()
	w.steady(w.quiet())
	// What is on disk is the same.
	w.happen(event{what: kill})
	time.Sleep(2 * time.Minute)
	w.check()
	w.process().kill()
	w.life.Wait()
}

func (w *world) process() *process {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) happen(e event) {
	switch e.what {
	case add:
		p := &pod{n: e.pod, adding: make(chan struct{})}
		w.mu.Lock()
		w.pods[e.pod] = p
		w.mu.Unlock()
		w.life.Go(func() { w.add(e.pod, p) })
	case del, lose:
		w.life.Go(func() { w.del(e.pod, e.what == lose) })
	case gc:
		w.life.Go(func() { w.collect(false) })
	case detach:
		w.detach(e.nth)
	case kill:
		w.process().kill()
		w.loseState(e.state)
		next := func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.now = w.boot()
		}
		time.Sleep(e.down)
		next()
	case fault:
		w.sim.Fault(e.fault)
	default:
		w.set(e.conditions)
	}
}

func (w *world) set(c topology.Conditions) {
	if err := w.sim.SetConditions(c); err != nil {
		w.fail("%v", err)
	}
	w.kernel.mu.Lock()
	defer w.kernel.mu.Unlock()
	w.kernel.delay = time.Duration(c.LinkDelay)
}
