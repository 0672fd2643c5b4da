package engine

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/config"
	"github.com/vpcchain/vpcchain/daemon/internal/eni"
)

// A pool on target calls nothing of EC2, whatever pods come and go within it; a
// node of a named cluster looks for leaks once a day.
func TestNoCallInTheSteadyState(t *testing.T) {
	for _, cluster := range []string{"", "blue"} {
		c := config.Config{WarmENI: 1, Cooldown: 30 * time.Second}
		c.ClusterName = cluster
		inBubble(t, c, func(t *testing.T, r *rig) {
			r.start()
			r.mustAssign("first")
			pass(time.Minute)
			before := r.ec2.paid()
			for i := range 600 {
				if i%10 == 0 {
					r.mustAssign(fmt.Sprint(i))
				}
				pass(time.Minute)
				if i%10 == 0 {
					r.mustRelease(fmt.Sprint(i))
				}
			}
			paid := r.ec2.paid()[len(before):]
			if cluster == "" && len(paid) > 0 || len(paid) > 1 || len(paid) == 1 && paid[0] != "Available" {
				t.Errorf("EC2 calls in 10 hours: %v", paid)
			}
		})
	}
}

// paid are the calls of EC2, without IMDS.
func (f *fakeEC2) paid() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []string
	for _, c := range f.calls {
		if c.name != "Node" && c.name != "IMDS" {
			out = append(out, c.name)
		}
	}
	return out
}

// The first ADD that waits sets off all that the burst needs, at once and side
// by side: the burst is served in the time that one ENI takes.
func TestGrowthIsByDemand(t *testing.T) {
	inBubble(t, config.Config{WarmIP: 1}, func(t *testing.T, r *rig) {
		r.ec2.limits = eni.Limits{ENIs: 4, IPv4PerENI: 10}
		r.start()
		r.ec2.set(func() {
			r.ec2.slow = map[string]time.Duration{"Create": 500 * time.Millisecond, "Attach": 2 * time.Second, "DeleteWithInstance": 500 * time.Millisecond, "Assign": 500 * time.Millisecond}
		})
		begin := time.Now()
		var burst []func() answer
		for i := range 35 {
			burst = append(burst, r.beside(fmt.Sprint(i), time.Minute))
		}
		pass(3700 * time.Millisecond) // ADDs that came after the first look wait for one more Assign
		for i, a := range burst {
			if a().addr == "" {
				t.Errorf("ADD %d waits still, or failed: %v", i, a().err)
			}
		}
		creates := r.ec2.times("Create")
		if len(creates) != 3 || creates[2].Sub(begin) > 10*time.Millisecond {
			t.Errorf("creates at %v, want 3 at %v", creates, begin)
		}
		if n := len(r.ec2.times("Attach")); n != 3 {
			t.Errorf("%d attaches", n)
		}
	})
}

// While an ENI is being detached it takes its device index, and one of those
// that the instance may have.
func TestDeviceOfAnENIThatGoes(t *testing.T) {
	inBubble(t, config.Config{WarmIP: 1}, func(t *testing.T, r *rig) {
		r.ec2.limits = eni.Limits{ENIs: 4, IPv4PerENI: 3}
		r.start()
		for i := range 3 {
			r.mustAssign(fmt.Sprint(i))
		}
		pass(2 * time.Minute)
		r.ec2.set(func() { r.ec2.slow["Detach"] = 20 * time.Second })
		for i := range 3 {
			r.mustRelease(fmt.Sprint(i))
		}
		r.untilCalled("Detach")
		var burst []func() answer
		for i := range 4 {
			burst = append(burst, r.beside(fmt.Sprint("new", i), time.Minute))
		}
		pass(2 * time.Second)
		for i, a := range burst {
			if a().addr == "" {
				t.Errorf("ADD %d waits still, or failed: %v", i, a().err)
			}
		}
		if r.failures() != 0 {
			t.Errorf("%d failures: growing met an ENI that goes", r.failures())
		}
		pass(time.Minute)
	})
}

// Leaked ENIs of the cluster go, others' stay.
func TestLeaksOfTheClusterAreDeleted(t *testing.T) {
	for _, keep := range []bool{false, true} {
		c := config.Config{WarmIP: 1}
		c.ClusterName, c.KeepLeaks = "blue", keep
		inBubble(t, c, func(t *testing.T, r *rig) {
			for _, cluster := range []string{"blue", "green"} {
				e := r.ec2.make(0)
				e.Device, e.Description, e.Created = -1, "aws-K8S-i-9", time.Now()
				e.Tags = map[string]string{eni.TagInstance: "i-9", eni.TagCluster: cluster}
			}
			r.start()
			pass(48 * time.Hour)
			want := "eni-0 eni-2"
			if keep {
				want = "eni-0 eni-1 eni-2"
			}
			if ids := strings.TrimSpace(r.ec2.ids()); ids != want {
				t.Errorf("in EC2: %s, want %s", ids, want)
			}
		})
	}
}
