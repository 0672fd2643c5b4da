package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/config"
	"github.com/vpcchain/vpcchain/daemon/internal/pool"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// The same interface of the same container on another network is another
// attachment: only a plugin's release may mean it.
func TestFailedADDReleasesOnlyItsOwn(t *testing.T) {
	inBubble(t, config.Config{WarmIP: 1, MaxENI: 1}, func(t *testing.T, r *rig) {
		r.start()
		for i := range 4 {
			r.mustAssign(fmt.Sprint(i))
		}
		other := vpcnet.Attachment{Network: "other", ContainerID: "0", IfName: "eth0"}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := r.Assign(ctx, other, pool.Pod{}); !errors.Is(err, ErrNoAddress) {
			t.Errorf("Assign in vain: %v", err)
		}
		if !r.held(att("0")).Addr.IsValid() {
			t.Error("the failed ADD of another network released the pod's address")
		}
		if n, err := r.Collect("other", nil); n != 0 || err != nil || !r.held(att("0")).Addr.IsValid() {
			t.Errorf("Collect of another network = %d, %v; holds %+v", n, err, r.held(att("0")))
		}
	})
}

// fewHolds is a store that runs full after so many allocations.
type fewHolds struct {
	*fakeStore
	left int
}

func (s *fewHolds) Hold(a pool.Allocation) error {
	if s.left == 0 {
		return errors.New("no space left on device")
	}
	s.left--
	return s.fakeStore.Hold(a)
}

// A plugin that asked twice got its address; what fails when its second call is
// served must not take it away.
func TestSecondWaiterKeepsWhatTheFirstGot(t *testing.T) {
	inBubble(t, config.Config{WarmIP: 1, MaxENI: 1}, func(t *testing.T, r *rig) {
		r.deps.Store = &fewHolds{r.store, 5}
		r.start()
		for i := range 4 {
			r.mustAssign(fmt.Sprint(i))
		}
		first, second := r.later("twice", time.Minute), r.later("twice", time.Minute)
		r.mustRelease("0")
		pass(time.Second)
		if first().addr == "" || second().addr != first().addr {
			t.Errorf("first %+v, second %+v", first(), second())
		}
		pass(2 * time.Minute)
		h := r.held(att("twice"))
		if h.Addr.String() != first().addr || r.store.recorded()[att("twice")].Addr != h.Addr {
			t.Errorf("%s was answered; holds %+v, recorded %v", first().addr, h, r.store.recorded())
		}
	})
}

// A replay that has read a release must not carry it out on the next life.
func TestReplayBesideAssign(t *testing.T) {
	inBubble(t, config.Config{WarmIP: 4, MaxENI: 1}, func(t *testing.T, r *rig) {
		r.start()
		r.mustAssign("a")
		for range 100 {
			for i := range 10 {
				r.spool(fmt.Sprint("gone ", i))
			}
			r.spool("a")
			var both sync.WaitGroup
			both.Go(r.replaySpool)
			addr, err := "", error(nil)
			both.Go(func() {
				for range rand.N(300) {
					_, _ = os.Stat(r.spoolDir()) // about the replay's own pace
				}
				addr, err = r.assign("a", time.Minute)
			})
			both.Wait()
			if h := r.held(att("a")); err != nil || h.Addr.String() != addr {
				t.Fatalf("answered %s, %v; holds %+v", addr, err, h)
			}
			r.wantSpooled(0)
		}
	})
}
