package engine

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/config"
	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/daemon/internal/pool"
)

// fakeKube is what Kubernetes says, as the test sets it.
type fakeKube struct {
	mu       sync.Mutex
	pending  []pool.Pod
	cordon   bool
	failures []pool.Pod
	changes  chan struct{}
}

func newKube(r *rig) *fakeKube {
	k := &fakeKube{changes: make(chan struct{}, 1)}
	r.deps.Kubernetes = k
	return k
}

func (k *fakeKube) say(cordon bool, pods ...string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.cordon, k.pending = cordon, nil
	for _, name := range pods {
		k.pending = append(k.pending, pool.Pod{Namespace: "ns", Name: name, UID: "of the API"})
	}
	select {
	case k.changes <- struct{}{}:
	default:
	}
}

func (k *fakeKube) Pending() []pool.Pod {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.pending
}

func (k *fakeKube) Cordoned() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.cordon
}

func (k *fakeKube) Changes() <-chan struct{} { return k.changes }

func (k *fakeKube) Failed(pod pool.Pod, _ error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.failures = append(k.failures, pod)
}

func (r *rig) wantDemand(want int) {
	r.t.Helper()
	if got := r.View().Demand; got != want {
		r.t.Errorf("demand is %d, want %d", got, want)
	}
}

// The pool grows for pods before they ask, by as many addresses as they take and
// no more: when they have come it is what it would be without the news.
func TestDemandGrowsThePool(t *testing.T) {
	inBubble(t, config.Config{WarmIP: 1, Cooldown: time.Second}, func(t *testing.T, r *rig) {
		r.ec2.limits = eni.Limits{ENIs: 3, IPv4PerENI: 5}
		k := newKube(r)
		r.start()
		r.wantCounts("1/0/0/1")
		k.say(false, "a", "b", "c", "d", "e")
		pass(5 * time.Second)
		r.wantCounts("2/0/0/6")
		calls := len(r.ec2.paid())
		for _, pod := range []string{"a", "b", "c", "d", "e"} {
			r.mustAssign(pod)
			pass(time.Second) // Kubernetes says still that they have none
		}
		r.wantDemand(0)
		r.wantCounts("2/5/0/1")
		if paid := r.ec2.paid()[calls:]; len(paid) > 0 {
			t.Errorf("EC2 calls while the announced pods came: %v", paid)
		}
		k.say(false)
		for _, pod := range []string{"a", "b", "c", "d", "e"} {
			r.mustRelease(pod)
		}
		pass(5 * time.Minute)
		r.wantCounts("1/0/0/1")
	})
}

// A pod that waits is one demand, not two; pods that are never started hold no
// more than their addresses, and what the instance cannot carry is not asked for.
func TestDemandIsBounded(t *testing.T) {
	for _, tc := range []struct {
		most int
		want string
	}{{0, "2/0/0/8"}, {3, "1/0/0/3"}} {
		inBubble(t, config.Config{WarmIP: 1, MaxPods: tc.most}, func(t *testing.T, r *rig) {
			k := newKube(r)
			r.start()
			var pods []string
			for i := range 50 {
				pods = append(pods, fmt.Sprint(i))
			}
			k.say(false, pods...)
			pass(10 * time.Minute)
			r.wantCounts(tc.want)
			k.say(false)
			pass(10 * time.Minute)
			r.wantCounts("1/0/0/1")
		})
	}
	inBubble(t, config.Config{WarmIP: 1}, func(t *testing.T, r *rig) {
		r.ec2.limits = eni.Limits{ENIs: 1, IPv4PerENI: 2}
		k := newKube(r)
		r.start()
		r.mustAssign("first")
		k.say(false, "a")
		ask := r.later("a", time.Minute)
		pass(time.Second)
		if ask().took >= 0 {
			t.Fatalf("a full instance gave %+v", ask())
		}
		r.wantDemand(0)
		pass(time.Minute)
	})
}

// A cordoned node keeps nothing ready, serves who asks all the same, and gives
// nothing back, unless it is managed like any other.
func TestCordon(t *testing.T) {
	for managed, want := range map[bool][3]string{false: {"1/4/0/0", "2/5/0/3", "2/0/0/8"}, true: {"2/4/0/4", "2/5/0/3", "1/0/0/4"}} {
		c := config.Config{WarmENI: 1, Cooldown: time.Second}
		c.ManageCordoned = managed
		inBubble(t, c, func(t *testing.T, r *rig) {
			k := newKube(r)
			k.say(true)
			r.start()
			for i := range 4 {
				r.mustAssign(fmt.Sprint(i))
			}
			pass(time.Minute)
			r.wantCounts(want[0])
			r.mustAssign("4")
			pass(time.Minute)
			r.wantCounts(want[1])
			for i := range 5 {
				r.mustRelease(fmt.Sprint(i))
			}
			pass(10 * time.Minute)
			r.wantCounts(want[2])
		})
	}
}

// Kubernetes is told of ADDs that waited for an address in vain. One
// that waits while nothing can be recorded does not keep the loop running.
func TestFailuresAreTold(t *testing.T) {
	inBubble(t, config.Config{WarmIP: 1}, func(t *testing.T, r *rig) {
		r.ec2.limits = eni.Limits{ENIs: 1, IPv4PerENI: 3}
		k := newKube(r)
		r.start()
		r.mustAssign("a")
		r.store.set(errors.New("disk full"))
		_, err := r.assign("b", time.Second) // waits: the pool has yet to grow
		wantError(t, err, ErrNotRecorded.Error())
		r.store.set(nil)
		r.mustAssign("b")
		if _, err := r.assign("c", time.Second); !errors.Is(err, ErrNoAddress) {
			t.Errorf("%v", err)
		}
		if len(k.failures) != 2 || k.failures[0].Name != "b" || k.failures[1].Name != "c" {
			t.Errorf("told: %v", k.failures)
		}
	})
}
