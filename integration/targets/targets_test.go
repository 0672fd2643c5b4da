// Package targets compares the warm pool with the documentation's tables: for
// each row the real vpc-ipamd, beside a simulated EC2 without fabric and
// therefore without root, serves the row's pods and converges.
package targets

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/integration/vpcsim/network"
	"github.com/vpcchain/vpcchain/pkg/ipamclient"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// row is a line of a table, by the names in its head.
type row map[string]string

func (r row) number(t *testing.T, name string) int {
	t.Helper()
	n, err := strconv.Atoi(r[name])
	if err != nil {
		t.Fatalf("%s of %v: %v", name, r, err)
	}
	return n
}

func read(t *testing.T, file string) []row {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	lines, err := csv.NewReader(bytes.NewReader(raw)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var out []row
	for _, line := range lines[1:] {
		r := row{}
		for i, name := range lines[0] {
			r[name] = line[i]
		}
		out = append(out, r)
	}
	return out
}

// settings are the targets of a row in the daemon's environment; those that the
// row leaves out are left out.
func (r row) settings() []string {
	var out []string
	for _, name := range []string{"warm_eni_target", "warm_ip_target", "minimum_ip_target", "warm_prefix_target"} {
		if r[name] != "" {
			out = append(out, strings.ToUpper(name)+"="+r[name])
		}
	}
	return out
}

// TestWarmTargets: ENIs, addresses of each and unused ones as documented.
func TestWarmTargets(t *testing.T) {
	for _, r := range read(t, "warm-targets.csv") {
		t.Run(r.name(), func(t *testing.T) {
			t.Parallel()
			n := start(t, r["instance_type"], r.settings()...)
			n.pods(r.number(t, "pods"))
			per := strings.Split(r["ips_per_eni"], "/")
			slices.Sort(per)
			n.converge(figures{
				ENIs: r.number(t, "attached_enis"), Addresses: r.number(t, "attached_ips"), Unused: r.number(t, "unused_ips"), PerENI: strings.Join(per, "/"),
			})
		})
	}
}

func (r row) name() string {
	name := strings.ToLower(strings.Join(r.settings(), ","))
	return fmt.Sprintf("%s,%s,pods=%s", r["instance_type"], strings.ReplaceAll(name, "_target", ""), r["pods"])
}

// figures of a node. The daemon and EC2 must agree on all that both know.
type figures struct {
	ENIs, Addresses, Prefixes, Unused int
	PerENI                            string // ascending; "" is not compared
}

// node is an instance of a simulation of its own, with its daemon.
type node struct {
	t      *testing.T
	bin    string
	sim    string // name of the simulation
	socket string
	env    []string
	log    *log
}

// log is what the daemon prints.
type log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

const topology = `
vpc: {cidrs: [10.20.0.0/16]}
routeTables: [{id: rtb-main}]
securityGroups: [{id: sg-nodes, ingress: [{groups: [self]}], egress: [{cidrs: [0.0.0.0/0]}]}, {id: sg-a}, {id: sg-b}]
subnets: [{id: subnet-a, cidr: 10.20.0.0/20, az: us-west-2a, routeTable: rtb-main}]
instances: [{name: node, type: %s, subnet: subnet-a, ip: 10.20.0.10, groups: [sg-nodes]}]
`

// limit bounds each wait; convergence takes a second, a scale-down half a minute.
const limit = 75 * time.Second

func start(t *testing.T, kind string, settings ...string) *node {
	t.Helper()
	n := up(t, kind)
	n.daemon(settings...)
	return n
}

// up is an instance without its daemon.
func up(t *testing.T, kind string) *node {
	t.Helper()
	return upWith(t, topology, kind)
}

// upWith is up with another topology.
func upWith(t *testing.T, topology, kind string) *node {
	t.Helper()
	bin, err := filepath.Abs("../../bin")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(bin, "vpc-ipamd")); err != nil {
		t.Fatalf("%v: run `make build` first", err)
	}
	dir, err := os.MkdirTemp("/tmp", "vpcsim-targets") //nolint:usetesting // the path of a socket has at most 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	n := &node{t: t, bin: bin, sim: filepath.Base(strings.ToLower(dir)), socket: filepath.Join(dir, "sock"), log: &log{}}
	n.env = append(os.Environ(), "XDG_RUNTIME_DIR="+dir)
	file := filepath.Join(dir, "topology.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, topology, kind), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.run("vpcsim", "down", "--name", n.sim) })
	n.run("vpcsim", "up", "--no-fabric", "--name", n.sim, "-f", file)
	return n
}

// daemon runs vpc-ipamd until the test ends, or what it returns is called.
func (n *node) daemon(settings ...string) (stop func()) {
	n.t.Helper()
	env := append(slices.Clone(n.env), strings.Fields(n.run("vpcsim", "env", "--name", n.sim, "node"))...)
	cmd := exec.Command(filepath.Join(n.bin, "vpc-ipamd"), "-no-host", "-socket", n.socket, "-state-dir", filepath.Join(filepath.Dir(n.socket), "state"))
	cmd.Env, cmd.Stderr = append(env, settings...), n.log
	if err := cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			n.t.Errorf("vpc-ipamd ends with %v", err)
		}
		if n.t.Failed() {
			n.t.Logf("log of vpc-ipamd:\n%s", n.log)
		}
	})
	n.t.Cleanup(stop)
	return stop
}

// run is a command of the project's; it must succeed.
func (n *node) run(name string, args ...string) string {
	n.t.Helper()
	cmd := exec.Command(filepath.Join(n.bin, name), args...)
	cmd.Env = n.env
	out, err := cmd.Output()
	if err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		n.t.Fatalf("%s %v: %v", name, args, err)
	}
	return string(out)
}

// pods takes an address for each, as the plugin does.
func (n *node) pods(count int) {
	n.t.Helper()
	client := ipamclient.New(n.socket)
	ctx, cancel := context.WithTimeout(n.t.Context(), limit)
	defer cancel()
	for i := range count {
		id := fmt.Sprintf("pod-%d", i)
		pod := ipamclient.Pod{Namespace: "default", Name: id}
		for {
			_, err := client.Assign(ctx, ipamclient.Request{Attachment: vpcnet.Attachment{Network: "vpc", ContainerID: id, IfName: "eth0"}, Pod: pod})
			if err == nil {
				break
			}
			select { // the daemon is starting, or its runtime would try again
			case <-ctx.Done():
				n.t.Fatalf("an address for %s: %v", id, err)
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
}

// settled is how long the figures must stay the same.
const settled = time.Second

// converge waits until the figures are as wanted, and stay.
func (n *node) converge(want figures) {
	n.t.Helper()
	var got figures
	var since time.Time
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		got = n.figures()
		if want.PerENI == "" {
			got.PerENI = ""
		}
		switch {
		case got != want:
			since = time.Time{}
		case since.IsZero():
			since = time.Now()
		case time.Since(since) > settled:
			return
		}
	}
	n.t.Errorf("the pool stays at %+v, want %+v", got, want)
}

// figures asks vpcctl and EC2. A difference between them is a moment's, or shows
// in the figures: addresses are EC2's, unused ones the daemon's.
func (n *node) figures() figures {
	n.t.Helper()
	cmd := exec.Command(filepath.Join(n.bin, "vpcctl"), "pool", "--json", "--socket", n.socket)
	out, err := cmd.Output()
	if err != nil {
		return figures{} // it is starting
	}
	var pool struct {
		ENIs []struct {
			Addresses []struct{} `json:"addresses"`
		} `json:"enis"`
		Addresses int `json:"addresses"`
		Available int `json:"available"`
	}
	var vpc struct {
		Network network.VPC `json:"network"`
	}
	if err := errors.Join(json.Unmarshal(out, &pool), json.Unmarshal([]byte(n.run("vpcsim", "topology", "--name", n.sim, "--json")), &vpc)); err != nil {
		n.t.Fatal(err)
	}
	f := figures{Unused: pool.Available}
	var per []string
	for _, p := range vpc.Network.Ports {
		f.ENIs++
		f.Addresses += len(p.Addresses) + 16*len(p.Prefixes)
		f.Prefixes += len(p.Prefixes)
		per = append(per, strconv.Itoa(len(p.Addresses)+16*len(p.Prefixes)))
	}
	slices.Sort(per)
	f.PerENI = strings.Join(per, "/")
	if len(pool.ENIs) != f.ENIs || pool.Addresses != f.Addresses {
		return figures{ENIs: len(pool.ENIs), Addresses: -pool.Addresses} // they do not agree
	}
	return f
}
