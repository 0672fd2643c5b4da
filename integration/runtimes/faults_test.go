package runtimes

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/integration/lab"
)

// The runtime is killed while pods live: they keep serving, the runtime finds
// them when it is back, and their removal leaves nothing.
func (s *suite) testKilled(t *testing.T) {
	const port = 18082
	r := s.on["node-a"]
	p := s.run(t, "node-a", PodSpec{Name: "survivor", HostPort: port})
	published := netip.AddrPortFrom(s.addr["node-a"], port)
	if err := r.Kill(); err != nil {
		t.Fatal(err)
	}
	s.reach(t, "node-b", serveAt(p))
	s.reach(t, "node-b", published)
	if err := r.Start(limited(t, time.Minute)); err != nil {
		t.Fatal(err)
	}
	s.reach(t, "node-b", published)
	if c, ok := r.(*Containerd); ok {
		if ready, err := c.Ready(t.Context()); err != nil || !ready[p.ID] || len(ready) != 1 {
			t.Errorf("after the restart containerd has the pods %v, %v; want %s", ready, err, p.ID)
		}
		var links []iface
		s.exec(t, "node-a", p, &links, "ifaces")
	}
	next := s.run(t, "node-a", PodSpec{Name: "next"})
	if next.Addr == p.Addr {
		t.Errorf("%s was given to a second pod", p.Addr)
	}
	s.reach(t, "node-b", serveAt(next))
	s.remove(t, "node-a", next)
	s.remove(t, "node-a", p)
	if _, err := s.lab.Dial(t.Context(), lab.HostEnd("node-b"), published); err == nil {
		t.Error("the host port still answers when the pod is gone")
	}
	s.clean(t, "node-a")
}

// The daemon is down: the runtime learns the reason from STATUS, if it asks, and
// from the ADD in any case; pods that run go on, and one can be removed.
func (s *suite) testDaemonDown(t *testing.T) {
	alive, goes := s.run(t, "node-a", PodSpec{Name: "alive"}), s.run(t, "node-a", PodSpec{Name: "goes"})
	_ = s.daemon["node-a"].Stop(syscall.SIGKILL)
	s.reach(t, "node-b", serveAt(alive))
	s.remove(t, "node-a", goes)

	_, err := s.on["node-a"].Run(limited(t, time.Minute), PodSpec{Name: "refused"})
	if err == nil || !strings.Contains(err.Error(), "vpc-ipamd") {
		t.Errorf("without a daemon a new pod fails with: %v", err)
	}
	s.seen[colSTATUS] = s.status(t)

	s.startDaemon(t, "node-a", filepath.Join(binDirectory(t), "vpc-ipamd"), poolEnv...)
	if c, ok := s.on["node-a"].(*Containerd); ok {
		if got, err := c.Conditions(t.Context()); err != nil || !got["NetworkReady"].OK {
			t.Errorf("with the daemon back: %+v, %v", got, err)
		}
	}
	s.remove(t, "node-a", alive)
	s.clean(t, "node-a")
}

// status says what the runtime makes of a daemon that is down.
func (s *suite) status(t *testing.T) string {
	t.Helper()
	const never = "not sent; the ADD fails with the reason"
	c, ok := s.on["node-a"].(*Containerd)
	if !ok {
		return never
	}
	conditions, err := c.Conditions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	network := conditions["NetworkReady"]
	calls, err := s.node["node-a"].Calls()
	if err != nil {
		t.Fatal(err)
	}
	asked := slices.ContainsFunc(calls, func(c Call) bool { return c.Verb == "STATUS" })
	switch {
	case asked && !network.OK && strings.Contains(network.Message, "vpc-ipamd"):
		t.Logf("NetworkReady=false: %s", network.Message)
		return "sent; NetworkReady=false with the reason"
	case asked:
		t.Errorf("STATUS was sent, and NetworkReady is %+v", network)
	case !network.OK:
		t.Errorf("STATUS was not sent, and NetworkReady is %+v", network)
	}
	return never
}

// Thirty pods at once: each has an address of its own, each is reached, and
// when they have gone at once nothing is left.
func (s *suite) testThirty(t *testing.T) {
	const count = 30
	r, ctx := s.on["node-a"], limited(t, 2*time.Minute)
	pods, errs := make([]Pod, count), make([]error, count)
	start := time.Now()
	each(count, func(i int) { pods[i], errs[i] = r.Run(ctx, PodSpec{Name: fmt.Sprintf("burst%d", i)}) })
	up := time.Since(start)
	seen := map[netip.Addr]bool{}
	for i, p := range pods {
		if errs[i] != nil {
			t.Errorf("pod %d: %v", i, errs[i])
			continue
		}
		seen[p.Addr] = true
		if err := s.serves(t, "node-a", p); err != nil {
			t.Errorf("pod %d: %v", i, err)
			continue
		}
		s.reach(t, "node-b", serveAt(p))
	}
	if len(seen) != count {
		t.Errorf("%d pods have %d addresses", count, len(seen))
	}
	start = time.Now()
	each(count, func(i int) {
		if errs[i] == nil {
			errs[i] = r.Remove(ctx, pods[i])
		}
	})
	t.Logf("%d pods at once: running after %.1f s, removed in %.1f s", count, up.Seconds(), time.Since(start).Seconds())
	for i, err := range errs {
		if err != nil {
			t.Errorf("removing pod %d: %v", i, err)
		}
	}
	s.clean(t, "node-a")
}

func each(n int, f func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { f(i) })
	}
	wg.Wait()
}

// churn makes and removes pods without pause, until it is stopped.
type churn struct {
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu     sync.Mutex
	cycles int
	errs   []error
}

func (s *suite) churn(t *testing.T, workers int) *churn {
	ctx, stop := context.WithCancel(context.Background())
	c := &churn{stop: stop}
	t.Cleanup(func() { stop(); c.wg.Wait() })
	// The pod that is under way when it is stopped is finished, so the calls have a context of their own.
	calls := limited(t, 2*time.Minute)
	for w := range workers {
		c.wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				p, err := s.on["node-a"].Run(calls, PodSpec{Name: fmt.Sprintf("churn%d-%d", w, i)})
				if err == nil {
					err = s.on["node-a"].Remove(calls, p)
				}
				c.mu.Lock()
				c.cycles++
				if err != nil {
					c.errs = append(c.errs, err)
				}
				c.mu.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	return c
}

// more waits for n further pods.
func (c *churn) more(t *testing.T, n int) {
	t.Helper()
	c.mu.Lock()
	target := c.cycles + n
	c.mu.Unlock()
	err := lab.Poll(limited(t, time.Minute), func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.errs) > 0 {
			return lab.Permanent(c.errs[0])
		}
		if c.cycles < target {
			return fmt.Errorf("%d pods of %d", c.cycles, target)
		}
		return nil
	})
	if err != nil {
		t.Errorf("churn: %v", err)
	}
}

// end stops and returns the number of pods that lived.
func (c *churn) end(t *testing.T) int {
	t.Helper()
	c.stop()
	c.wg.Wait()
	for _, err := range c.errs {
		t.Errorf("churn: %v", err)
	}
	return c.cycles
}

// An earlier vpc-ipamd is replaced by this one while pods come and go, and this
// one is killed and comes again: no ADD and no DEL fails, and pods of the earlier
// daemon are kept.
func (s *suite) testUpgrade(t *testing.T) {
	now := filepath.Join(binDirectory(t), "vpc-ipamd")
	before := earlierDaemon(t)
	_ = s.daemon["node-a"].Stop(syscall.SIGTERM)
	s.startDaemon(t, "node-a", before, poolEnv...)
	kept := s.run(t, "node-a", PodSpec{Name: "kept"})
	c := s.churn(t, 3)
	c.more(t, 3)
	for _, how := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		start := time.Now()
		_ = s.daemon["node-a"].Stop(how)
		stopped := time.Since(start)
		s.startDaemon(t, "node-a", now, poolEnv...)
		t.Logf("after %v it was gone in %d ms, the next one served after %d ms", how, stopped.Milliseconds(), time.Since(start).Milliseconds())
		c.more(t, 4)
	}
	t.Logf("%d pods came and went", c.end(t))
	pool, err := s.lab.Pool(t.Context(), "node-a")
	if err != nil || pool.Used != 1 {
		t.Errorf("the pool has %d addresses in use, %v; want that of the pod which was kept", pool.Used, err)
	}
	s.reach(t, "node-b", serveAt(kept))
	s.remove(t, "node-a", kept)
	s.clean(t, "node-a")
}
