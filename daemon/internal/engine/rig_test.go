package engine

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/config"
	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/daemon/internal/intent"
	"github.com/vpcchain/vpcchain/daemon/internal/pool"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// rig is an engine with its world; the world stays when the engine restarts.
type rig struct {
	*Engine
	t     *testing.T
	ec2   *fakeEC2
	host  *fakeHost
	store *fakeStore
	deps  Deps
	stop  func()
}

// small is 2 ENIs with 4 addresses for pods each.
func small() eni.Limits { return eni.Limits{ENIs: 2, IPv4PerENI: 5} }

// inBubble runs f with a rig that is not started yet, on synthetic time.
func inBubble(t *testing.T, c config.Config, f func(t *testing.T, r *rig)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		c.ENIMTU, c.VethPrefix = 9001, "eni"
		r := &rig{
			t: t, ec2: newEC2(small()),
			host:  &fakeHost{from: map[netip.Addr]int{}, down: map[string]string{}, events: make(chan struct{}, 1)},
			store: &fakeStore{held: map[vpcnet.Attachment]pool.Allocation{}, freed: map[netip.Addr]time.Time{}, begun: map[string]intent.Intent{}},
			stop:  func() {},
		}
		r.deps = Deps{
			Config: c, ENIs: r.ec2, Remover: r.ec2, Addresses: r.ec2, Metadata: r.ec2, Host: r.host, Store: r.store, Intents: r.store,
			StateDir: dir, Log: slog.New(slog.DiscardHandler),
		}
		f(t, r)
		r.stop()
	})
}

// start is a daemon's start; it returns when the pool has settled.
func (r *rig) start() {
	r.t.Helper()
	r.Engine = New(r.deps)
	ctx, cancel := context.WithCancel(r.t.Context())
	if err := r.Start(ctx); err != nil {
		r.t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	r.stop = func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Error(err)
		}
		r.stop = func() {}
	}
	pass(5 * time.Second)
}

// pass lets time go by, and what it set off finish.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func att(id string) vpcnet.Attachment {
	return vpcnet.Attachment{Network: "vpc", ContainerID: id, IfName: "eth0"}
}

// assign is an ADD that waits at most the time; it gives the address or "".
func (r *rig) assign(id string, wait time.Duration) (string, error) {
	ctx, cancel := context.WithTimeout(r.t.Context(), wait)
	defer cancel()
	got, err := r.Assign(ctx, att(id), pool.Pod{Namespace: "ns", Name: id})
	if err != nil {
		return "", err
	}
	return got.Addr.String(), nil
}

func (r *rig) mustAssign(id string) string {
	r.t.Helper()
	addr, err := r.assign(id, 10*time.Second)
	if err != nil {
		r.t.Fatal(err)
	}
	return addr
}

func (r *rig) mustRelease(id string) {
	r.t.Helper()
	if h, err := r.Release(att(id)); err != nil || !h.Addr.IsValid() {
		r.t.Fatalf("releasing %s: %v, %v", id, h, err)
	}
}

// answer of an ADD; took is negative while it waits.
type answer struct {
	addr string
	err  error
	took time.Duration
}

// later starts an ADD and returns when it has its answer or waits; what it
// returns tells the answer so far.
func (r *rig) later(id string, wait time.Duration) func() answer {
	now := r.beside(id, wait)
	synctest.Wait()
	return now
}

// beside is later that does not wait.
func (r *rig) beside(id string, wait time.Duration) func() answer {
	var mu sync.Mutex
	a := answer{took: -1}
	begin := time.Now()
	go func() {
		addr, err := r.assign(id, wait)
		mu.Lock()
		defer mu.Unlock()
		a = answer{addr, err, time.Since(begin)}
	}()
	return func() answer {
		mu.Lock()
		defer mu.Unlock()
		return a
	}
}

// held is what an attachment holds, if anything.
func (r *rig) held(a vpcnet.Attachment) pool.Allocation {
	r.mu.Lock()
	defer r.mu.Unlock()
	h, _ := r.pool.Held(a)
	return h
}

// wantError checks that err says each of the texts.
func wantError(t *testing.T, err error, texts ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("no error, want one with %q", texts)
		return
	}
	for _, s := range texts {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("error %q does not say %q", err, s)
		}
	}
}

func (r *rig) wantStatus(state State, texts ...string) {
	r.t.Helper()
	got := r.Status()
	if got.State != state || state == OK && got.Reason != "" {
		r.t.Errorf("status %d %q, want %d", got.State, got.Reason, state)
	}
	for _, s := range texts {
		if !strings.Contains(got.Reason, s) {
			r.t.Errorf("status reason %q does not say %q", got.Reason, s)
		}
	}
}

// counts is the pool as "ENIs/used/cooling/free".
func (r *rig) counts() string {
	s := r.View().Pool
	return fmt.Sprintf("%d/%d/%d/%d", len(s.ENIs), s.Count(pool.Used), s.Count(pool.Cooling), s.Count(pool.Free))
}

func (r *rig) wantCounts(want string) {
	r.t.Helper()
	if got := r.counts(); got != want {
		r.t.Errorf("ENIs/used/cooling/free are %s, want %s", got, want)
	}
}

// acting tells whether an action is under way.
func (r *rig) acting() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.inFlight) > 0
}

// failures are those in a row of the actions.
func (r *rig) failures() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.backoff.failures
}

// times are those of EC2's calls of a name.
func (f *fakeEC2) times(name string) []time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []time.Time
	for _, c := range f.calls {
		if c.name == name {
			out = append(out, c.at)
		}
	}
	return out
}

// set changes the world under its lock.
func (f *fakeEC2) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}
