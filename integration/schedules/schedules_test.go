// Package schedules is the fault model on the real fabric: what
// daemon/internal/soak does in virtual time with the daemon's packages, this does
// with the binaries, kernels and packets. Each seeded schedule has a node of one
// shared simulation, a runtime that calls the plugins through libcni, and a
// daemon that is killed, disturbed and started again. When all of them have
// settled, runtime, pool, kernel and EC2 must agree on every node, no ENI may be
// left over, and no EC2 call may be made any more.
package schedules

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	schedules = flag.Int("schedules", 20, "how many schedules to run")
	first     = flag.Uint64("seed", 1, "seed of the first schedule")
	binaries  = flag.String("bin", "../../bin", "directory of the binaries to test")
	verbose   = flag.Bool("log", false, "print each schedule and the log of its daemons")
)

// runtimeEnv makes the test binary, run on an instance, act as its runtime.
const runtimeEnv = "VPCCHAIN_SCHEDULES_RUNTIME"

func TestMain(m *testing.M) {
	if bin := os.Getenv(runtimeEnv); bin != "" {
		if err := serveRuntime(bin, os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	flag.Parse()
	os.Exit(m.Run())
}

// lanes are simulations side by side, each with its share of the nodes, on which
// schedules run one after the other: a fault strikes one schedule at a time.
const lanes = 2

// A surplus of addresses goes back to EC2 after a minute at most, by the node's
// id; only then nothing is left to do. A node whose calls were refused for their
// rate spares some for 3 minutes, or 6 after the second refusal.
const (
	patience    = 61 * time.Second
	settleLimit = 8 * time.Minute
	quiet       = 5 * time.Second // for so long nothing may be asked of EC2 in the end
)

func TestSchedules(t *testing.T) {
	if os.Geteuid() != 0 {
		const reason = "needs root: the suite makes network namespaces"
		if os.Getenv("VPCCHAIN_REQUIRE") == "root" {
			t.Fatal(reason)
		}
		t.Skip(reason)
	}
	var list [lanes][]schedule
	for i := range *schedules {
		list[i%lanes] = append(list[i%lanes], build(*first+uint64(i))) //nolint:gosec // from 0
	}
	var sum tally
	begin := time.Now()
	t.Run("lanes", func(t *testing.T) {
		for i, l := range list {
			if len(l) > 0 {
				t.Run(string(rune('a'+i)), func(t *testing.T) {
					t.Parallel()
					lane(t, string(rune('a'+i)), l, &sum)
				})
			}
		}
	})
	t.Logf("%d schedules in %.0f s: %s", *schedules, time.Since(begin).Seconds(), &sum)
	if *schedules >= 20 && (sum.kills < *schedules || sum.adds < 5**schedules) {
		t.Errorf("too little happened to prove anything: %s", &sum)
	}
}

// lane runs schedules in a simulation of their own and reports what they violate.
func lane(t *testing.T, name string, list []schedule, sum *tally) {
	w := newWorld(t, name, list)
	for _, n := range w.nodes {
		n.run(t)
		sum.add(n)
	}
	calls, wrong := w.settle(t)
	for _, n := range w.nodes {
		if *verbose {
			t.Logf("%s%s", n.schedule, n.logs())
		}
		if all := append(n.wrong, wrong[n.name]...); len(all) > 0 {
			t.Errorf("seed %d violates:\n  %s\n%sreplay: go test -tags grpcnotrace ./integration/schedules -args -seed %d -schedules 1 -log", n.seed,
				strings.Join(all, "\n  "), n.schedule, n.seed)
		}
	}
	if drops, err := w.drops(t); t.Failed() {
		t.Logf("packets that the VPC refused: %v %v", drops, err)
	}
	if len(calls) > 0 {
		t.Errorf("EC2 calls in %v of steady state: %v", quiet, calls)
	}
}

// tally is what happened in all schedules.
type tally struct {
	mu                              sync.Mutex
	adds, vain, dels, kills, faults int
}

func (t *tally) add(n *node) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.adds, t.vain, t.dels, t.kills, t.faults = t.adds+n.report.Adds, t.vain+n.report.Vain, t.dels+n.report.Dels, t.kills+n.kills, t.faults+n.faults
}

func (t *tally) String() string {
	return fmt.Sprintf("%d ADDs served, %d in vain, %d DELs, %d kills, %d faults and conditions", t.adds, t.vain, t.dels, t.kills, t.faults)
}

func binDir(t testing.TB) string {
	t.Helper()
	dir, err := filepath.Abs(*binaries)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "vpcsim")); err != nil {
		t.Fatalf("%v: run `make build` first", err)
	}
	return dir
}

// within bounds what the test does to the simulation.
func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
