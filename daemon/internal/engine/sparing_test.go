package engine

import (
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/config"
	"github.com/vpcchain/vpcchain/daemon/internal/eni"
)

// While EC2 refuses calls for their rate the node asks for what pods wait for,
// in the size that the settings want, and for its warm pool when that is over.
func TestThrottledNodeSparesEC2(t *testing.T) {
	inBubble(t, config.Config{WarmENI: 1}, func(t *testing.T, r *rig) {
		r.ec2.limits = eni.Limits{ENIs: 4, IPv4PerENI: 5}
		r.start()
		r.wantCounts("1/0/0/4")
		r.ec2.set(func() { r.ec2.faults["Create"] = []error{eni.ErrThrottled} })
		begin := time.Now()
		for _, pod := range []string{"a", "b", "c", "d"} {
			r.mustAssign(pod) // the fourth leaves nothing free
			pass(time.Second)
		}
		pass(20 * time.Second)
		r.wantCounts("2/4/0/4") // one address is wanted in any case, and comes with a whole ENI
		r.mustAssign("e")
		pass(20 * time.Second)
		r.wantCounts("2/5/0/3")
		for _, pod := range []string{"f", "g", "h", "i"} {
			r.mustAssign(pod)
		}
		pass(5 * time.Second)
		r.wantCounts("3/9/0/3") // for the pod, and not one for the warm pool as well
		pass(firstSparing*3/2 - time.Since(begin) + 35*time.Second)
		r.wantCounts("4/9/0/7")
	})
}

// Refusals lengthen the time, a call that goes well after it ends it.
func TestSparing(t *testing.T) {
	var s sparing
	now := time.Now()
	for i := range 6 {
		s.refused(now)
		want := min(firstSparing<<i, lastSparing)
		if d := s.until.Sub(now); d < want/2 || d > want*3/2 {
			t.Errorf("refusal %d: %s, want %s and half of it more or less", i+1, d, want)
		}
		until := s.until
		if s.refused(now); s.until != until {
			t.Error("calls that are refused together count more than once")
		}
		if s.ended(now); s.until != until {
			t.Error("a call that another one overlapped ends it")
		}
		now = s.until
	}
	if s.ended(now); s != (sparing{}) {
		t.Errorf("%+v after a call that went well", s)
	}
}

// The spacing after a refusal for the rate goes on where the attempts of the call ended.
func TestBackoffAfterThrottling(t *testing.T) {
	var b backoff
	now := time.Now()
	for _, want := range []time.Duration{8 * time.Second, 16 * time.Second, 32 * time.Second, lastBackoff, lastBackoff} {
		if d := b.failed(eni.ErrThrottled, now); d < want/2 || d > want*3/2 {
			t.Errorf("%s, want %s and half of it more or less", d, want)
		}
	}
}

// A pod whose ADD was in vain is expected back: growing in the meantime is for it
// as well, and once.
func TestPodsThatGaveUpAreExpected(t *testing.T) {
	inBubble(t, config.Config{}, func(t *testing.T, r *rig) {
		r.ec2.slow["Assign"] = 20 * time.Second
		r.start()
		a, b := r.later("a", time.Second), r.later("b", 2*time.Second)
		pass(5 * time.Second)
		if a().err == nil || b().err == nil {
			t.Fatalf("%+v, %+v: EC2 was to take longer", a(), b())
		}
		r.wantDemand(2)
		again := r.later("a", 20*time.Second)
		r.wantDemand(1)
		pass(15 * time.Second)
		if again().addr == "" {
			t.Fatalf("%+v", again())
		}
		pass(comesBack)
		r.wantDemand(0)
	})
}
