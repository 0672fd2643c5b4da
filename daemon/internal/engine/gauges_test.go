package engine

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/config"
	"github.com/vpcchain/vpcchain/daemon/internal/eni"
)

// A loop that hangs is told from one that has nothing to do.
func TestAlive(t *testing.T) {
	inBubble(t, config.Config{WarmIP: 1}, func(t *testing.T, r *rig) {
		e := New(r.deps)
		if err := e.Alive(); err != nil {
			t.Errorf("before the start: %v", err)
		}
		r.start()
		for range 5 {
			pass(10 * time.Minute)
			if err := r.Alive(); err != nil {
				t.Errorf("a node at rest: %v", err)
			}
		}
		hang := make(chan struct{}) // a call to the kernel that does not return
		r.host.mu.Lock()
		r.host.hang = hang
		r.host.mu.Unlock()
		pass(loopLimit - slowTick - time.Second)
		if err := r.Alive(); err != nil {
			t.Errorf("after %s: %v", loopLimit-slowTick, err)
		}
		pass(slowTick + 2*time.Second)
		if err := r.Alive(); err == nil || !strings.Contains(err.Error(), "start vpc-ipamd anew") {
			t.Errorf("a loop that hangs: %v", err)
		}
		close(hang)
		pass(time.Second)
		if err := r.Alive(); err != nil {
			t.Errorf("when it goes on: %v", err)
		}
	})
}

// Ready is Status.
func TestReady(t *testing.T) {
	inBubble(t, config.Config{WarmIP: 1, MaxENI: 1}, func(t *testing.T, r *rig) {
		if _, err := New(r.deps).Ready(); err == nil || !strings.Contains(err.Error(), "starting") {
			t.Errorf("before the start: %v", err)
		}
		r.start()
		if text, err := r.Ready(); text != "" || err != nil {
			t.Errorf("a good node: %q, %v", text, err)
		}
		r.host.mu.Lock()
		r.host.degraded = []string{"a rule is missing"}
		r.host.mu.Unlock()
		pass(time.Minute)
		if text, err := r.Ready(); text != "a rule is missing" || err != nil {
			t.Errorf("a limited node: %q, %v", text, err)
		}
		for i := range 4 {
			r.mustAssign(fmt.Sprint(i))
		}
		pass(time.Second)
		if _, err := r.Ready(); err == nil || err.Error() != r.Status().Reason {
			t.Errorf("a full node: %v; status %+v", err, r.Status())
		}
	})
}

func TestGauges(t *testing.T) {
	inBubble(t, config.Config{WarmIP: 2, Cooldown: time.Hour}, func(t *testing.T, r *rig) {
		r.start()
		r.mustAssign("a")
		r.mustAssign("b")
		r.mustRelease("b")
		pass(time.Second)
		g := r.Gauges()
		if g.Wanted != 4 || g.MaxENIs != 2 || g.MaxAddrs != 8 || g.Tally.Actions[Ended{"assign", false}] == 0 || g.Rounds == 0 || g.LastRound.IsZero() {
			t.Errorf("%+v", g)
		}
		r.ec2.set(func() {
			r.ec2.broken["Assign"], r.ec2.broken["Create"] = eni.ErrSubnetFull, eni.ErrSubnetFull
		})
		r.host.healed(map[string]int{"rule": 2})
		for i := range 5 {
			_, _ = r.assign(fmt.Sprint(i), time.Second)
		}
		pass(time.Second)
		g = r.Gauges()
		if len(g.FullSubnets) == 0 || g.Tally.NoAddress == 0 || g.Tally.Actions[Ended{"assign", true}]+g.Tally.Actions[Ended{"create", true}] == 0 || g.Tally.Heals["rule"] == 0 {
			t.Errorf("%+v", g)
		}
	})
}

func (h *fakeHost) healed(what map[string]int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.heals = what
}

// Gauges are read beside requests; the race detector looks on.
func TestGaugesBesideRequests(t *testing.T) {
	inBubble(t, config.Config{WarmIP: 4}, func(t *testing.T, r *rig) {
		r.start()
		var all sync.WaitGroup
		for i := range 4 {
			all.Go(func() {
				for k := range 20 {
					id := fmt.Sprintf("%d-%d", i, k)
					if _, err := r.assign(id, time.Minute); err == nil {
						_, _ = r.Release(att(id))
					}
				}
			})
			all.Go(func() {
				for range 200 {
					g := r.Gauges()
					if g.Pool.Total() > 8 {
						t.Errorf("%d addresses", g.Pool.Total())
					}
					time.Sleep(time.Millisecond)
				}
			})
		}
		all.Wait()
	})
}
