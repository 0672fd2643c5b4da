package engine

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/config"
	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/daemon/internal/pool"
)

// fakeDrains outlasts the daemon.
type fakeDrains struct {
	mu   sync.Mutex
	enis map[string]time.Time
	err  error
}

func (f *fakeDrains) Draining() (map[string]time.Time, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.enis), f.err
}

func (f *fakeDrains) Drain(id string, at time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.enis[id] = at
	}
	return f.err
}

func (f *fakeDrains) Undrain(id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		delete(f.enis, id)
	}
	return f.err
}

// draining is a node of so many ENIs with 4 addresses for pods each, where pods of
// the first and the second one run.
func draining(t *testing.T, enis, pods int, f func(t *testing.T, r *rig, d *fakeDrains, second string)) {
	t.Helper()
	inBubble(t, config.Config{WarmIP: 1, Cooldown: 30 * time.Second}, func(t *testing.T, r *rig) {
		d := &fakeDrains{enis: map[string]time.Time{}}
		r.ec2.limits, r.deps.Drains = eni.Limits{ENIs: enis, IPv4PerENI: 5}, d
		r.start()
		for i := range pods {
			r.mustAssign(fmt.Sprint(i))
			pass(5 * time.Second)
		}
		f(t, r, d, r.View().Pool.ENIs[1].ID)
	})
}

func (r *rig) mustDrain(id string, cancel bool) Drain {
	r.t.Helper()
	d, on, err := r.Drain(id, cancel)
	if err != nil || on == cancel {
		r.t.Fatalf("draining %s, cancel %t: %t, %v", id, cancel, on, err)
	}
	return d
}

// on are the pods with an address of the ENI.
func (r *rig) on(id string) (out []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, h := range r.pool.Allocations() {
		if h.ENI == id {
			out = append(out, h.Attachment.ContainerID)
		}
	}
	return out
}

func (r *rig) has(id string) bool {
	return slices.ContainsFunc(r.ec2.attached(), func(e eni.ENI) bool { return e.ID == id })
}

// The life of a drain: other ENIs grow, no pod comes, a restart changes nothing,
// the last pod takes the ENI with it, and then there is silence.
func TestDrain(t *testing.T) {
	draining(t, 4, 6, func(t *testing.T, r *rig, d *fakeDrains, second string) {
		if w := r.mustDrain(second, false).Waits; w != "2 pods to go" {
			t.Errorf("it waits for %s", w)
		}
		r.mustDrain(second, false)
		pass(10 * time.Second)
		r.wantCounts("3/6/0/1")
		r.wantStatus(OK)
		r.stop()
		r.start()
		for i := range 4 {
			r.mustAssign("late" + fmt.Sprint(i))
			pass(5 * time.Second)
		}
		pods := r.on(second)
		if len(pods) != 2 {
			t.Errorf("pods on the drained ENI are %v", pods)
		}
		for _, f := range r.host.last().From {
			if r.unused(second, f.Prefix) {
				t.Errorf("a rule for %s, which nobody has", f.Prefix)
			}
		}
		for _, p := range pods {
			r.mustRelease(p)
		}
		pass(10 * time.Second)
		if w := r.View().Drains[second]; !strings.Contains(w.Waits, "2 addresses to rest") || !r.has(second) {
			t.Errorf("while they rest it waits for %q", w.Waits)
		}
		pass(time.Minute)
		if v := r.View(); len(v.Leaving) > 0 || len(v.Drains) > 0 {
			t.Errorf("leaving: %v, %v", v.Leaving, v.Drains)
		}
		if r.has(second) || len(d.enis) > 0 || len(r.lying()) > 0 {
			t.Errorf("attached: %t; on record: %v; lying about: %v", r.has(second), d.enis, r.lying())
		}
		pass(3 * time.Minute)
		r.wantCounts("3/8/0/1")
		calls := len(r.ec2.paid())
		pass(10 * time.Hour)
		if more := r.ec2.paid()[calls:]; len(more) > 0 {
			t.Errorf("calls afterwards: %v", more)
		}
	})
}

// lying are the ENIs that are attached to nothing.
func (r *rig) lying() []string {
	var out []string
	r.ec2.set(func() {
		for id, e := range r.ec2.enis {
			if !e.attached {
				out = append(out, id)
			}
		}
	})
	return out
}

// unused tells whether the address is of the ENI, and nobody has or had it.
func (r *rig) unused(id string, a netip.Prefix) bool {
	for _, e := range r.View().Pool.ENIs {
		for _, s := range e.Slots {
			if e.ID == id && a.IsSingleIP() && a.Contains(s.Addr) && s.State == pool.Reserved {
				return true
			}
		}
	}
	return false
}

// EC2 fails in the middle: what it would not detach is drained still, what it would
// not delete is deleted later.
func TestDrainWhileEC2Fails(t *testing.T) {
	for _, call := range []string{"Detach", "Delete"} {
		t.Run(call, func(t *testing.T) {
			draining(t, 4, 6, func(t *testing.T, r *rig, d *fakeDrains, second string) {
				r.ec2.set(func() { r.ec2.broken[call] = errors.New("busy") })
				r.mustDrain(second, false)
				for _, p := range r.on(second) {
					r.mustRelease(p)
				}
				pass(40 * time.Second)
				if n := len(r.ec2.times(call)); n == 0 {
					t.Fatalf("no %s", call)
				}
				if v := r.View(); len(v.Leaving)+len(v.Drains) != 1 {
					t.Errorf("it is forgotten: %v, %v", v.Leaving, v.Drains)
				}
				if a, err := r.assign("late", 10*time.Second); err != nil || slices.Contains(r.on(second), "late") {
					t.Errorf("a pod gets %s, %v", a, err)
				}
				r.stop()
				r.start()
				r.ec2.set(func() { delete(r.ec2.broken, call) })
				pass(5 * time.Minute)
				if r.has(second) || len(r.lying()) > 0 || len(d.enis) > 0 {
					t.Errorf("attached: %t; lying about: %v; on record: %v", r.has(second), r.lying(), d.enis)
				}
				r.wantStatus(OK)
			})
		})
	}
}

// At the instance's limit draining waits for the pods and says so; the ENI's place
// is taken when it has gone.
func TestDrainAtTheLimit(t *testing.T) {
	draining(t, 2, 7, func(t *testing.T, r *rig, _ *fakeDrains, second string) {
		if w := r.mustDrain(second, false).Waits; !strings.Contains(w, "3 pods to go; 2 ENIs are all that the node may have") {
			t.Errorf("it waits for %s", w)
		}
		calls := len(r.ec2.paid())
		pass(time.Hour)
		if more := r.ec2.paid()[calls:]; len(more) > 0 {
			t.Errorf("calls while it waits: %v", more)
		}
		r.wantStatus(Unavailable, second, "drained")
		if _, err := r.assign("more", time.Second); err == nil || !strings.Contains(err.Error(), "vpcctl drain-eni") {
			t.Errorf("an ADD meanwhile: %v", err)
		}
		for _, p := range r.on(second) {
			r.mustRelease(p)
		}
		pass(2 * time.Minute)
		if r.has(second) || len(r.ec2.attached()) != 2 {
			t.Errorf("attached: %v", r.ec2.attached())
		}
		r.mustAssign("more")
		pass(5 * time.Second)
		r.wantStatus(OK)
	})
}

// What is cancelled serves pods again, and what cannot be drained says why.
func TestDrainCancelledAndRefused(t *testing.T) {
	draining(t, 3, 6, func(t *testing.T, r *rig, d *fakeDrains, second string) {
		r.mustDrain(second, false)
		pass(10 * time.Second)
		r.mustDrain(second, true)
		r.mustDrain(second, true)
		pass(5 * time.Minute)
		r.wantCounts("2/6/0/1")
		if len(d.enis) > 0 || len(r.View().Drains) > 0 {
			t.Errorf("on record: %v", d.enis)
		}
		refused := func(id string, kind error, texts ...string) {
			t.Helper()
			_, on, err := r.Drain(id, false)
			if on || !errors.Is(err, kind) {
				t.Errorf("%s: %t, %v", id, on, err)
			}
			wantError(t, err, texts...)
		}
		refused(r.View().Pool.ENIs[0].ID, ErrNoDrain, "primary ENI")
		refused("eni-none", ErrNoENI, second)
		d.err = errors.New("no space left")
		refused(second, d.err)
		if len(r.View().Drains) > 0 {
			t.Error("drained without a record")
		}
		d.err = nil
		r.ec2.set(func() { r.ec2.enis[second].Tags = map[string]string{eni.TagNoManage: "true"} })
		r.stop()
		r.start()
		refused(second, ErrNoDrain, "left alone", eni.TagNoManage)
		r.ec2.set(func() { r.ec2.enis[second].Tags, r.ec2.enis[second].Type = nil, eni.TypeTrunk })
		r.stop()
		r.start()
		refused(second, ErrNoDrain, "trunk")
	})
}
