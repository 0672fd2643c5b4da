package engine

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/config"
	"github.com/vpcchain/vpcchain/daemon/internal/eni"
)

// STATUS answers 50 for Unavailable and 51 for Limited.
func TestStatusOfAFullInstance(t *testing.T) {
	inBubble(t, config.Config{WarmIP: 1, MaxENI: 1}, func(t *testing.T, r *rig) {
		r.start()
		r.wantStatus(OK)
		for i := range 4 {
			r.mustAssign(fmt.Sprint(i))
		}
		pass(time.Second)
		r.wantStatus(Unavailable, "no free address", "4 used", "move pods to another node")
		r.mustRelease("0")
		pass(time.Second)
		r.wantStatus(OK)
	})
}

// Addresses that rest are free soon: the node is not reported as out of service.
func TestStatusWhileAddressesRest(t *testing.T) {
	inBubble(t, config.Config{WarmIP: 1, MaxENI: 1, Cooldown: 30 * time.Second}, func(t *testing.T, r *rig) {
		r.start()
		for i := range 4 {
			r.mustAssign(fmt.Sprint(i))
		}
		r.mustRelease("0")
		pass(time.Second)
		r.wantCounts("1/3/1/0")
		r.wantStatus(OK)
	})
}

func TestStatusOfAFailingEC2(t *testing.T) {
	inBubble(t, config.Config{WarmIP: 2}, func(t *testing.T, r *rig) {
		r.start()
		r.ec2.set(func() {
			r.ec2.broken["Assign"], r.ec2.broken["Create"] = eni.ErrUnauthorized, eni.ErrUnauthorized
		})
		r.mustAssign("a")
		pass(5 * time.Second)
		r.wantStatus(Limited, "not allowed by IAM", "EC2 permissions of the README")
		r.mustAssign("b")
		pass(3 * time.Minute)
		r.wantStatus(Unavailable, "no free address", "2 used", "growing fails", "not allowed by IAM")
		r.ec2.set(func() { r.ec2.broken = map[string]error{} })
		pass(2 * time.Minute)
		r.wantStatus(OK)
	})
}

// An error that stops nobody any more is not reported, and still spaces attempts.
func TestStatusForgetsAnErrorWithoutDemand(t *testing.T) {
	inBubble(t, config.Config{WarmIP: 1}, func(t *testing.T, r *rig) {
		r.start()
		r.ec2.set(func() { r.ec2.broken["Assign"] = eni.ErrThrottled })
		r.mustAssign("a")
		pass(10 * time.Second)
		r.wantStatus(Unavailable, "throttles")
		for r.acting() { // an attempt that is under way would fail afterwards
			pass(10 * time.Millisecond)
		}
		failures := r.failures()
		r.mustRelease("a")
		pass(time.Second)
		r.wantCounts("1/0/0/1")
		r.wantStatus(OK)
		if n := r.failures(); n != failures || n == 0 {
			t.Errorf("%d failures, before %d: demand that comes and goes has no backoff", n, failures)
		}
		pass(5 * time.Minute)
		if n := r.failures(); n != 0 {
			t.Errorf("%d failures of long ago still count", n)
		}
	})
}

// Start did with IMDS; EC2 is asked again although the pool wants nothing.
func TestStatusAfterAStartWithoutDescribe(t *testing.T) {
	inBubble(t, config.Config{WarmIP: 1}, func(t *testing.T, r *rig) {
		r.start()
		r.stop()
		r.ec2.set(func() { r.ec2.broken["Describe"] = eni.ErrThrottled })
		r.start()
		r.wantStatus(Limited, "throttles")
		r.ec2.set(func() { delete(r.ec2.broken, "Describe") })
		pass(2 * time.Minute)
		r.wantStatus(OK)
	})
}

func TestStatusWhileThePoolGrows(t *testing.T) {
	inBubble(t, config.Config{WarmIP: 1}, func(t *testing.T, r *rig) {
		r.start()
		r.ec2.set(func() { r.ec2.latency = 20 * time.Second })
		r.mustAssign("a")
		pass(time.Second)
		r.wantCounts("1/1/0/0")
		r.wantStatus(OK)
		if v := r.View(); len(v.Plan) != 1 || v.Plan[0] != "assign 1 addresses to eni-0" {
			t.Errorf("plan %q", v.Plan)
		}
		pass(30 * time.Second)
	})
}

func TestStatusOfTheKernel(t *testing.T) {
	inBubble(t, config.Config{WarmIP: 1}, func(t *testing.T, r *rig) {
		r.start()
		r.host.set(func() { r.host.degraded = []string{"rule 512 is another program's", "eth1 has no address"} })
		pass(time.Second)
		r.wantStatus(Limited, "rule 512 is another program's; eth1 has no address")
		r.host.set(func() { r.host.degraded = nil })
		pass(time.Second)
		r.wantStatus(OK)
		if l := r.View().Links["eni-0"]; l.Name != "eth0" || !l.Ready {
			t.Errorf("link %+v", l)
		}
	})
}

// An ENI whose link is not ready does not count, and its addresses are given
// out as soon as it is.
func TestStatusOfALinkThatIsDown(t *testing.T) {
	inBubble(t, config.Config{WarmIP: 1, MaxENI: 1}, func(t *testing.T, r *rig) {
		r.host.down["eni-0"] = "its link is down"
		r.start()
		r.wantStatus(Unavailable, "no free address", "eni-0, which is not ready: its link is down")
		if s := r.Status(); strings.Contains(s.Reason, "move pods") {
			t.Errorf("the instance is not full: %q", s.Reason)
		}
		_, err := r.assign("short", time.Second)
		wantError(t, err, "free ones on eni-0, which is not ready: its link is down")
		waiting := r.later("a", time.Hour)
		pass(time.Minute)
		if waiting().took >= 0 {
			t.Fatalf("served from an ENI that is not ready: %+v", waiting())
		}
		r.host.set(func() { delete(r.host.down, "eni-0") })
		pass(time.Second)
		if waiting().addr == "" {
			t.Errorf("the link is ready: %+v", waiting())
		}
		r.wantStatus(OK)
	})
}
