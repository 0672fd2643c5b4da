package engine

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/config"
	"github.com/vpcchain/vpcchain/daemon/internal/eni"
)

// However far the making of an ENI is when the daemon stops, the next daemon
// knows of all that is in EC2.
func TestStopWhileAnENIIsMade(t *testing.T) {
	for _, step := range []string{"Create", "Attach", "DeleteWithInstance"} {
		t.Run(step, func(t *testing.T) {
			inBubble(t, config.Config{MinimumIP: 5}, func(t *testing.T, r *rig) {
				r.ec2.latency = time.Second
				ctx, cancel := context.WithCancel(t.Context())
				stopped := r.runUntil(ctx)
				r.untilCalled(step)
				pass(100 * time.Millisecond)
				cancel()
				begin := time.Now()
				<-stopped
				if took := time.Since(begin); took > grace {
					t.Errorf("the stop took %s", took)
				}
				for id, e := range r.ec2.enis {
					if !e.attached || id != "eni-0" && !e.DeleteOnTermination {
						t.Errorf("left behind: %s, attached %t, deleted with the instance %t", id, e.attached, e.DeleteOnTermination)
					}
				}
				r.start()
				pass(time.Minute)
				r.wantCounts("2/0/0/5")
				if ids := strings.Fields(r.ec2.ids()); len(ids) != 2 {
					t.Errorf("in EC2: %s", ids)
				}
			})
		})
	}
}

// runUntil starts a daemon that runs until ctx ends.
func (r *rig) runUntil(ctx context.Context) <-chan struct{} {
	r.t.Helper()
	r.Engine = New(r.deps)
	if err := r.Start(ctx); err != nil {
		r.t.Fatal(err)
	}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		if err := r.Run(ctx); err != nil {
			r.t.Error(err)
		}
	}()
	return stopped
}

// An EC2 that does not answer holds up the stop no longer than twice the grace:
// for the call that was under way, and for its undoing.
func TestStopIsBounded(t *testing.T) {
	for _, step := range []string{"Create", "Attach", "Delete"} {
		t.Run(step, func(t *testing.T) {
			inBubble(t, config.Config{MinimumIP: 5}, func(t *testing.T, r *rig) {
				r.ec2.slow[step] = time.Hour
				if step == "Delete" {
					r.ec2.broken["Attach"] = eni.ErrENILimit
				}
				ctx, cancel := context.WithCancel(t.Context())
				stopped := r.runUntil(ctx)
				r.untilCalled(step)
				cancel()
				begin := time.Now()
				<-stopped
				if took := time.Since(begin); took > 2*grace {
					t.Errorf("the stop took %s", took)
				}
			})
		})
	}
}

// The answer of a Create got lost: the ENI is found again and used.
func TestLostCreateIsUsed(t *testing.T) {
	inBubble(t, config.Config{MinimumIP: 5}, func(t *testing.T, r *rig) {
		r.ec2.lost["Create"] = true
		r.start()
		pass(time.Minute)
		r.wantCounts("2/0/0/5")
		if ids := r.ec2.ids(); ids != "eni-0 eni-1" || len(r.store.begun) != 0 {
			t.Errorf("in EC2: %s; intents %v", ids, r.store.begun)
		}
		r.wantStatus(OK)
	})
}

// A daemon that is told to stop begins nothing.
func TestNoActionAfterTheStop(t *testing.T) {
	inBubble(t, config.Config{MinimumIP: 5}, func(t *testing.T, r *rig) {
		ctx, cancel := context.WithCancel(t.Context())
		r.Engine = New(r.deps)
		if err := r.Start(ctx); err != nil {
			t.Fatal(err)
		}
		cancel()
		r.once(ctx)
		r.actions.Wait()
		if n := fmt.Sprint(len(r.ec2.times("Create")), len(r.ec2.times("Assign"))); n != "0 0" {
			t.Errorf("Create and Assign were called %s times", n)
		}
	})
}
