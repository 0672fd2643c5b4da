package schedules

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/integration/lab"
	"github.com/vpcchain/vpcchain/integration/vpcsim/ec2"
)

// world is the simulation with a node for each schedule. Nodes stay up, with
// their pods and daemons, until the last has run.
type world struct {
	lab   *lab.Lab
	nodes []*node
}

// node is where a schedule runs.
type node struct {
	schedule
	lab      *lab.Lab
	name     string
	instance string // its id
	peer     netip.Addr

	ask     func(q request, answer any) error // its runtime
	daemons []*lab.Process
	report  report
	kills   int
	faults  int
	wrong   []string
}

// conflist waits less long than the shipped one: some pods ask in vain.
const conflist = `{"cniVersion": "1.1.0", "name": "vpc", "plugins": [{"type": "vpc-ipam", "timeout": "3s"}, {"type": "vpc-veth"}, {"type": "vpc-snat"}]}`

func topologyOf(list []schedule) string {
	var b strings.Builder
	b.WriteString(`vpc: {cidrs: [10.20.0.0/16]}
routeTables: [{id: rtb}]
securityGroups: [{id: sg, ingress: [{cidrs: [10.20.0.0/16]}], egress: [{cidrs: [0.0.0.0/0]}]}]
subnets:
  - {id: subnet-peer, cidr: 10.20.0.0/24, az: us-west-2a, routeTable: rtb}
`)
	for i := range list {
		fmt.Fprintf(&b, "  - {id: subnet-n%d, cidr: 10.20.%d.0/24, az: us-west-2a, routeTable: rtb}\n", i, i+1)
	}
	b.WriteString("services: [{name: peer, subnet: subnet-peer, ip: 10.20.0.10, groups: [sg]}]\ninstances:\n")
	for i, s := range list {
		fmt.Fprintf(&b, "  - {name: n%d, id: i-%017x, type: %s, subnet: subnet-n%d, ip: 10.20.%d.10, groups: [sg]}\n", i, s.seed, s.kind, i, i+1)
	}
	return b.String()
}

func newWorld(t *testing.T, lane string, list []schedule) *world {
	t.Helper()
	dir := t.TempDir()
	topology, conf := filepath.Join(dir, "topology.yaml"), filepath.Join(dir, "10-vpc.conflist")
	for path, text := range map[string]string{topology: topologyOf(list), conf: conflist} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	name := fmt.Sprintf("sch%d%s", os.Getpid(), lane)
	l, err := lab.Up(within(t, time.Minute), binDir(t), name, topology)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Down(); err != nil {
			t.Errorf("removing the simulation: %v", err)
		}
	})
	w := &world{lab: l}
	for i, s := range list {
		n := &node{schedule: s, lab: l, name: fmt.Sprintf("n%d", i), instance: fmt.Sprintf("i-%017x", s.seed), peer: netip.MustParseAddr("10.20.0.10")}
		w.nodes = append(w.nodes, n)
		if err := l.InstallConflist(t.Context(), n.name, conf); err != nil {
			t.Fatal(err)
		}
		n.startRuntime(t, name)
	}
	return w
}

// startRuntime starts the process on the node that calls the plugins.
func (n *node) startRuntime(t *testing.T, sim string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(context.Background(), n.lab.Bin("vpcsim"), "exec", "--name", sim, n.name, "--", self)
	cmd.Env, cmd.Stderr = append(os.Environ(), runtimeEnv+"="+binDir(t)), os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the runtime of %s: %v", n.name, err)
		}
	})
	requests, answers := json.NewEncoder(in), json.NewDecoder(out)
	n.ask = func(q request, answer any) error {
		if err := requests.Encode(q); err != nil {
			return fmt.Errorf("asking the runtime of %s: %w", n.name, err)
		}
		if err := answers.Decode(answer); err != nil {
			return fmt.Errorf("reading the answer of the runtime of %s: %w", n.name, err)
		}
		return nil
	}
}

// run lets the schedule happen and returns when every call has its answer and
// the last disturbance is over.
func (n *node) run(t *testing.T) {
	t.Helper()
	ctx := within(t, time.Minute)
	if err := n.ask(request{Verb: "prepare", Events: n.pods, Peer: n.peer}, &struct{}{}); err != nil {
		t.Fatal(err)
	}
	for _, args := range latencies() {
		n.fault(ctx, t, args)
	}
	n.faults = 0
	start := time.Now()
	n.boot(t)
	var others sync.WaitGroup
	others.Go(func() {
		for _, e := range n.others {
			time.Sleep(time.Until(start.Add(e.At)))
			if e.What == "kill" {
				n.kill(t, e.Down)
			} else {
				n.fault(ctx, t, e.Args)
			}
		}
	})
	err := n.ask(request{Verb: "run", Start: start.UnixNano()}, &n.report)
	others.Wait()
	n.fault(ctx, t, calm())
	n.faults--
	n.wrong = append(n.wrong, n.report.Wrong...)
	if err != nil {
		t.Fatal(err)
	}
}

func (n *node) fault(ctx context.Context, t *testing.T, args []string) {
	t.Helper()
	if err := n.lab.Sim(ctx, nil, append([]string{"fault"}, args...)...); err != nil {
		t.Errorf("%v: %v", args, err)
	}
	n.faults++
}

// boot starts a daemon, ready or not; the test's end stops it.
func (n *node) boot(t *testing.T) {
	t.Helper()
	p, err := n.lab.Start(n.name, n.env, n.lab.Bin("vpc-ipamd"))
	if err != nil {
		t.Errorf("starting a daemon: %v", err)
		return
	}
	t.Cleanup(func() { _ = p.Stop(syscall.SIGKILL) })
	n.daemons = append(n.daemons, p)
}

func (n *node) kill(t *testing.T, down time.Duration) {
	t.Helper()
	last := n.daemons[len(n.daemons)-1]
	select {
	case <-last.Done():
		n.wrong = append(n.wrong, "the daemon has ended by itself:\n"+last.Log())
	default:
	}
	_ = last.Stop(syscall.SIGKILL)
	n.kills++
	time.Sleep(down)
	n.boot(t)
}

func (n *node) logs() string {
	var b strings.Builder
	for i, d := range n.daemons {
		fmt.Fprintf(&b, "daemon %d of %s:\n%s", i, n.name, d.Log())
	}
	return b.String()
}

// settle waits until everything is right on every node, and then for a time in
// which nothing happens. It returns the EC2 calls of that time and what is not
// right at its end, by node.
func (w *world) settle(t *testing.T) ([]ec2.Call, map[string][]string) {
	t.Helper()
	begin := time.Now()
	for time.Since(begin) < patience || len(w.differences(t)) > 0 {
		if time.Since(begin) > settleLimit {
			return nil, w.differences(t)
		}
		time.Sleep(time.Second)
	}
	if err := w.lab.Sim(t.Context(), nil, "calls", "--reset"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(quiet)
	var calls []ec2.Call
	if err := w.lab.Sim(t.Context(), &calls, "calls"); err != nil {
		t.Fatal(err)
	}
	return calls, w.differences(t)
}

// differences are those of all nodes, by name.
func (w *world) differences(t *testing.T) map[string][]string {
	t.Helper()
	var enis []ec2.Interface
	if err := w.lab.Sim(t.Context(), &enis, "enis"); err != nil {
		t.Fatal(err)
	}
	out := map[string][]string{}
	for _, n := range w.nodes {
		var s sight
		if err := n.ask(request{Verb: "look"}, &s); err != nil {
			t.Fatal(err)
		}
		if d := differences(n, s, enis); len(d) > 0 {
			out[n.name] = d
		}
	}
	return out
}

// drops are the packets that the VPC refused, for whoever looks for a cause.
func (w *world) drops(t *testing.T) (text string, err error) {
	t.Helper()
	var list []json.RawMessage
	err = w.lab.Sim(t.Context(), &list, "drops")
	for _, d := range list {
		text += "\n  " + string(d)
	}
	return text, err
}
