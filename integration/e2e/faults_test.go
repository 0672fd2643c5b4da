package e2e

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/vpcchain/vpcchain/integration/lab"
)

const chain = "../../conflist/10-vpc.conflist"

// churn adds or deletes pods in parallel and returns the errors by pod.
func churn(pods []lab.Pod, f func(*lab.Pod) error) map[string]error {
	var mu sync.Mutex
	var wg sync.WaitGroup
	errs := map[string]error{}
	for i := range pods {
		wg.Go(func() {
			if err := f(&pods[i]); err != nil {
				mu.Lock()
				errs[pods[i].Name] = err
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return errs
}

// SIGKILL of the daemon between and during 50 parallel ADDs and DELs: what
// ADD answered stays, what it did not answer can be deleted, and in the end
// pool, kernel and cnitool's cache agree that nothing is left.
func TestKillDaemonDuringChurn(t *testing.T) {
	l := up(t, "churn.yaml")
	ctx := t.Context()
	env := []string{"IP_COOLDOWN_PERIOD=1"}
	d := daemon(t, l, "node-a", env...)
	conflist(t, l, "node-a", chain)

	// Restarts the daemon until stopped: a supervisor with no patience.
	stop, stopped := make(chan struct{}), make(chan struct{})
	kills := 0
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			case <-time.After(150 * time.Millisecond):
			}
			d.Signal(syscall.SIGKILL)
			<-d.Done()
			kills++
			next, err := l.StartDaemon(ctx, "node-a", env...)
			if err != nil {
				t.Errorf("restarting the daemon: %v", err)
				return
			}
			d = next
		}
	}()

	pods := make([]lab.Pod, 50)
	for i := range pods {
		pods[i] = lab.Pod{Node: "node-a", Network: "vpc", Name: fmt.Sprintf("churn%d", i)}
		if err := l.NewNetns(ctx, "node-a", pods[i].Name); err != nil {
			t.Fatal(err)
		}
	}
	// A runtime deletes after a failed ADD and tries again; three tries each.
	failures := 0
	var mu sync.Mutex
	add := func(p *lab.Pod) error {
		var err error
		for range 3 {
			var added lab.Pod
			if added, err = l.Add(ctx, *p); err == nil {
				*p = added
				return nil
			}
			mu.Lock()
			failures++
			mu.Unlock()
			if _, derr := l.CNITool(ctx, "del", *p); derr != nil {
				return fmt.Errorf("DEL after a failed ADD: %w", derr)
			}
		}
		return err
	}
	del := func(p *lab.Pod) error {
		_, err := l.CNITool(ctx, "del", *p)
		p.Addr = netip.Addr{}
		return err
	}
	for round := range 2 {
		for name, err := range churn(pods, add) {
			t.Errorf("round %d: ADD of %s: %v", round, name, err)
		}
		unique(t, pods)
		for name, err := range churn(pods, del) {
			t.Errorf("round %d: DEL of %s: %v", round, name, err)
		}
	}
	close(stop)
	<-stopped
	t.Cleanup(func() { _ = d.Stop(syscall.SIGKILL) })
	t.Logf("%d kills of the daemon, %d ADDs failed and were tried again", kills, failures)
	if kills < 5 {
		t.Errorf("only %d kills: the test did not disturb anything", kills)
	}
	clean(t, l, "node-a")
}

func unique(t testing.TB, pods []lab.Pod) {
	t.Helper()
	seen := map[string]string{}
	for _, p := range pods {
		if !p.Addr.IsValid() {
			continue
		}
		if other, ok := seen[p.Addr.String()]; ok {
			t.Errorf("%s given to %s and to %s", p.Addr, other, p.Name)
		}
		seen[p.Addr.String()] = p.Name
	}
}

// A restart keeps every allocation, and a pod added before it stays reachable.
func TestRestartKeepsAllocations(t *testing.T) {
	l := up(t, "")
	d := daemon(t, l, "node-a")
	conflist(t, l, "node-a", chain)
	p, err := l.AddPod(t.Context(), "node-a", "vpc", "keep")
	if err != nil {
		t.Fatal(err)
	}
	for _, sig := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
		_ = d.Stop(sig)
		if err := l.Ping(t.Context(), lab.HostEnd("node-b"), p.Addr); err != nil {
			t.Errorf("with the daemon down: %v", err)
		}
		d = daemon(t, l, "node-a")
		if _, err := l.CNITool(t.Context(), "check", p); err != nil {
			t.Errorf("CHECK after %v and restart: %v", sig, err)
		}
	}
	if q, err := l.AddPod(t.Context(), "node-a", "vpc", "other"); err != nil || q.Addr == p.Addr {
		t.Errorf("the next pod got %v, %v", q.Addr, err)
	}
}

// DEL succeeds with the daemon down; the release is replayed when it is back.
func TestDeleteWithDaemonDown(t *testing.T) {
	l := up(t, "")
	d := daemon(t, l, "node-a", "IP_COOLDOWN_PERIOD=1")
	conflist(t, l, "node-a", chain)
	p, err := l.AddPod(t.Context(), "node-a", "vpc", "gone")
	if err != nil {
		t.Fatal(err)
	}
	_ = d.Stop(syscall.SIGKILL)
	if err := l.DelPod(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	daemon(t, l, "node-a", "IP_COOLDOWN_PERIOD=1")
	clean(t, l, "node-a")
}

// STATUS tells the truth: good, 50 with the daemon down, good again.
func TestStatus(t *testing.T) {
	l := up(t, "")
	d := daemon(t, l, "node-a")
	conflist(t, l, "node-a", chain)
	probe := lab.Pod{Node: "node-a", Network: "vpc", Name: "none"}
	if _, err := l.CNITool(t.Context(), "status", probe); err != nil {
		t.Errorf("with a daemon: %v", err)
	}
	_ = d.Stop(syscall.SIGKILL)
	_, err := l.CNITool(t.Context(), "status", probe)
	if err == nil || !strings.Contains(err.Error(), "vpc-ipamd") {
		t.Errorf("without a daemon STATUS says %v; it must fail and name vpc-ipamd", err)
	}
	daemon(t, l, "node-a")
	if _, err := l.CNITool(t.Context(), "status", probe); err != nil {
		t.Errorf("after the restart: %v", err)
	}
}

// GC keeps the survivors, takes the rest, and leaves other networks alone.
func TestGCWithSurvivors(t *testing.T) {
	l := up(t, "")
	daemon(t, l, "node-a", "IP_COOLDOWN_PERIOD=1")
	conflist(t, l, "node-a", chain)
	other := renamed(t, chain, "othernet")
	conflist(t, l, "node-a", other)
	var pods []lab.Pod
	for _, name := range []string{"stays", "goes1", "goes2"} {
		p, err := l.AddPod(t.Context(), "node-a", "vpc", name)
		if err != nil {
			t.Fatal(err)
		}
		pods = append(pods, p)
	}
	foreign, err := l.AddPod(t.Context(), "node-a", "othernet", "foreign")
	if err != nil {
		t.Fatal(err)
	}
	survivor := containerID(t, l, pods[0])
	if err := gcWithSurvivors(t, l, "node-a", "vpc", types.GCAttachment{ContainerID: survivor, IfName: "eth0"}); err != nil {
		t.Fatal(err)
	}
	for _, p := range []lab.Pod{pods[0], foreign} {
		if _, err := l.CNITool(t.Context(), "check", p); err != nil {
			t.Errorf("%s did not survive: %v", p.Name, err)
		}
		if err := l.Ping(t.Context(), lab.HostEnd("node-b"), p.Addr); err != nil {
			t.Errorf("%s is cut off: %v", p.Name, err)
		}
	}
	pool, err := l.Pool(t.Context(), "node-a")
	if err != nil {
		t.Fatal(err)
	}
	if pool.Used != 2 {
		t.Errorf("%d addresses are used after GC, want 2", pool.Used)
	}
	if err := gcWithSurvivors(t, l, "node-a", "vpc"); err != nil {
		t.Errorf("GC with an empty list: %v", err)
	}
	if err := gcWithSurvivors(t, l, "node-a", "othernet"); err != nil {
		t.Errorf("GC of the other network: %v", err)
	}
	clean(t, l, "node-a")
}

// containerID is the one that cnitool derived for the pod, as the pool has it.
func containerID(t testing.TB, l *lab.Lab, p lab.Pod) string {
	t.Helper()
	pool, err := l.Pool(context.Background(), p.Node)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range pool.ENIs {
		for _, a := range e.Addresses {
			if a.Address == p.Addr.String() {
				return a.ContainerID
			}
		}
	}
	t.Fatalf("the pool does not know %s of %s", p.Addr, p.Name)
	return ""
}
