package engine

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/config"
	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/daemon/internal/intent"
	"github.com/vpcchain/vpcchain/daemon/internal/pool"
)

// mortal is the world as one daemon sees it that is killed at the at-th call of a
// name, to EC2 or the disk: before it, or when it is applied and its answer on
// the way. Which call of all is the n-th depends on who comes first; which of a
// name does not matter.
type mortal struct {
	*fakeEC2
	disk  *fakeStore
	mu    sync.Mutex
	name  string
	count int
	at    int
	after bool
	dead  bool
	where string
	kill  func()
}

var errDead = fmt.Errorf("the process is dead: %w", context.Canceled)

func (m *mortal) do(name string, apply func() error) error {
	m.mu.Lock()
	if name == m.name {
		m.count++
	}
	now := name == m.name && m.count == m.at && !m.dead
	if now {
		m.where = name
	}
	m.dead = m.dead || now && !m.after
	dead := m.dead
	m.mu.Unlock()
	if dead {
		m.kill()
		return errDead
	}
	err := apply()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead = m.dead || now; m.dead {
		m.kill()
		return errDead
	}
	return err
}

func (m *mortal) Create(_ context.Context, spec eni.CreateSpec) (out eni.ENI, err error) {
	err = m.do("Create", func() (err error) { out, err = m.fakeEC2.Create(m.t(), spec); return err })
	if err != nil {
		return eni.ENI{}, err
	}
	return out, nil
}

// t is a context that does not end: a call that was sent is applied.
func (m *mortal) t() context.Context { return context.Background() }

func (m *mortal) Attach(_ context.Context, id string, card, device int) (out string, err error) {
	err = m.do("Attach", func() (err error) { out, err = m.fakeEC2.Attach(m.t(), id, card, device); return err })
	return out, err
}

func (m *mortal) DeleteWithInstance(_ context.Context, id, at string) error {
	return m.do("DeleteWithInstance", func() error { return m.fakeEC2.DeleteWithInstance(m.t(), id, at) })
}

func (m *mortal) Detach(_ context.Context, at string) error {
	return m.do("Detach", func() error { return m.fakeEC2.Detach(m.t(), at) })
}

func (m *mortal) Delete(_ context.Context, id string) error {
	return m.do("Delete", func() error { return m.fakeEC2.Delete(m.t(), id) })
}

func (m *mortal) Intents() ([]intent.Intent, error) { return m.disk.Intents() }

func (m *mortal) Intend(in intent.Intent) error {
	return m.do("Intend", func() error { return m.disk.Intend(in) })
}

func (m *mortal) Done(id string) error {
	return m.do("Done", func() error { return m.disk.Done(id) })
}

// Wherever a daemon is killed while ENIs come and go, the next one leaves none
// that is not the pool's, and the pool is what EC2 has.
func TestKilledAnywhere(t *testing.T) {
	for _, call := range []string{"Create", "Attach", "DeleteWithInstance", "Detach", "Delete", "Intend", "Done"} {
		for _, after := range []bool{false, true} {
			at := 1
			for killAt(t, call, at, after) != "" {
				at++
			}
			if at == 1 {
				t.Errorf("no daemon was killed at %s", call)
			}
		}
	}
}

func killAt(t *testing.T, call string, at int, after bool) (where string) {
	t.Run(fmt.Sprintf("%s %d after=%t", call, at, after), func(t *testing.T) {
		inBubble(t, config.Config{WarmIP: 1}, func(t *testing.T, r *rig) {
			r.ec2.limits = eni.Limits{ENIs: 4, IPv4PerENI: 3}
			ctx, cancel := context.WithCancel(t.Context())
			m := &mortal{fakeEC2: r.ec2, disk: r.store, name: call, at: at, after: after, kill: cancel}
			alive := r.deps
			r.deps.ENIs, r.deps.Remover, r.deps.Intents = m, m, m
			stopped := r.runUntil(ctx)
			waitOr(ctx, 3*time.Second)
			for i := range 5 {
				add, end := context.WithTimeout(ctx, 5*time.Second)
				_, _ = r.Assign(add, att(fmt.Sprint(i)), pool.Pod{Name: fmt.Sprint(i)})
				end()
			}
			waitOr(ctx, 2*time.Minute)
			for i := range 5 {
				if ctx.Err() == nil {
					_, _ = r.Release(att(fmt.Sprint(i)))
				}
			}
			waitOr(ctx, 10*time.Minute)
			cancel()
			<-stopped
			where = m.where
			pass(20 * time.Second) // what was sent arrives
			r.deps = alive
			r.start()
			pass(20 * time.Minute)
			r.wantNoLeak(where)
		})
	})
	return where
}

// waitOr lets time go by until ctx ends.
func waitOr(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// wantNoLeak compares EC2, the pool and the disk.
func (r *rig) wantNoLeak(where string) {
	r.t.Helper()
	var ec2, ours []string
	for id, e := range r.ec2.enis {
		if !e.attached || !e.DeleteOnTermination && id != "eni-0" {
			r.t.Errorf("killed at %s: leaked %s: attached %t, ends with the instance %t", where, id, e.attached, e.DeleteOnTermination)
		}
		ec2 = append(ec2, fmt.Sprint(id, len(e.Addresses)))
	}
	for _, m := range r.View().Pool.ENIs {
		ours = append(ours, fmt.Sprint(m.ID, len(m.Slots)))
	}
	slices.Sort(ec2)
	slices.Sort(ours)
	if !slices.Equal(ec2, ours) || len(r.store.begun) > 0 {
		r.t.Errorf("killed at %s: EC2 has %v, the pool %v; intents %v", where, ec2, ours, r.store.begun)
	}
}

// An ENI of ours that lies about is used; one that is not needed is deleted.
func TestSpareENI(t *testing.T) {
	for _, needed := range []bool{true, false} {
		least := 4
		if needed {
			least = 6
		}
		inBubble(t, config.Config{MinimumIP: least}, func(t *testing.T, r *rig) {
			e := r.ec2.make(2)
			e.Device, e.SubnetID, e.Tags = -1, "subnet-1", map[string]string{eni.TagInstance: "i-1"}
			r.start()
			pass(10 * time.Minute)
			want := "eni-0"
			if needed {
				want = "eni-0 eni-1"
			}
			if ids := r.ec2.ids(); ids != want || len(r.ec2.times("Create")) != 0 {
				t.Errorf("in EC2: %s, want %s; %d creates", ids, want, len(r.ec2.times("Create")))
			}
			r.wantStatus(OK)
		})
	}
}
