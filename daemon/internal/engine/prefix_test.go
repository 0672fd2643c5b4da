package engine

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/config"
	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

func prefixMode() config.Config { return config.Config{WarmENI: 1, WarmPrefix: 1, Prefixes: true} }

// shape is what the ENIs have as "prefixes/addresses" each.
func (r *rig) shape() string {
	var out []string
	for _, e := range r.View().Pool.ENIs {
		out = append(out, fmt.Sprintf("%d/%d", len(e.Prefixes), len(e.Addresses)))
	}
	return strings.Join(out, " ")
}

func (r *rig) wantShape(want string) {
	r.t.Helper()
	if got := r.shape(); got != want {
		r.t.Errorf("prefixes/addresses of the ENIs are %s, want %s", got, want)
	}
	ec2 := map[string]int{}
	for _, e := range r.ec2.attached() {
		ec2[e.ID] = len(e.Prefixes)*100 + len(e.Addresses)
	}
	for _, e := range r.View().Pool.ENIs {
		if n := len(e.Prefixes)*100 + len(e.Addresses); ec2[e.ID] != n {
			r.t.Errorf("%s has %d pieces in the pool and %d in EC2", e.ID, n, ec2[e.ID])
		}
	}
}

// A node in prefix mode goes from nothing to its maximum and back.
func TestPrefixMode(t *testing.T) {
	inBubble(t, prefixMode(), func(t *testing.T, r *rig) {
		r.start()
		r.wantShape("1/0")
		for i := range 64 {
			r.mustAssign(fmt.Sprint(i))
		}
		pass(5 * time.Second)
		r.wantShape("4/0 1/0")
		if n := len(r.ec2.times("Assign")); n != 0 {
			t.Errorf("%d calls for single addresses", n)
		}
		for i := range 64 {
			r.mustRelease(fmt.Sprint(i))
		}
		pass(5 * time.Minute)
		r.wantShape("1/0")
		r.wantStatus(OK)
		calls := len(r.ec2.paid())
		pass(10 * time.Hour)
		if more := r.ec2.paid()[calls:]; len(more) > 0 {
			t.Errorf("calls in a steady state: %v", more)
		}
	})
}

// The rule of a prefix is there before its pods are, and they add none.
func TestOneRulePerPrefix(t *testing.T) {
	inBubble(t, config.Config{WarmPrefix: 1, Prefixes: true}, func(t *testing.T, r *rig) {
		r.ec2.limits = eni.Limits{ENIs: 2, IPv4PerENI: 2}
		r.start()
		for i := range 20 {
			r.mustAssign(fmt.Sprint(i))
		}
		pass(time.Minute)
		var prefixes []netip.Prefix
		for _, e := range r.View().Pool.ENIs {
			prefixes = append(prefixes, e.Prefixes...)
		}
		var got []netip.Prefix
		for _, f := range r.host.desired.From {
			got = append(got, f.Prefix)
		}
		if !slices.Equal(got, prefixes) || len(got) != 2 {
			t.Errorf("rules from %v, prefixes are %v", got, prefixes)
		}
		for a := range r.host.from {
			if !slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Addr() == a }) {
				t.Errorf("a rule was asked for from %s", a)
			}
		}
	})
	m := eni.ENI{Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.0.16/28")}}
	if got := source(m, netip.MustParseAddr("10.0.0.31")); got != m.Prefixes[0] {
		t.Errorf("the source of an address of a prefix is %s", got)
	}
	if a := netip.MustParseAddr("10.0.0.32"); source(m, a) != vpcnet.Host(a) {
		t.Errorf("the source of another address is %s", source(m, a))
	}
}

// Without a free /28 there are single addresses on the same ENI, and prefixes
// again when the pool next grows; then the single ones go back.
func TestNoFreeBlock(t *testing.T) {
	inBubble(t, config.Config{WarmIP: 2, Prefixes: true, WarmPrefix: 1}, func(t *testing.T, r *rig) {
		r.ec2.blocks = 0
		r.start()
		r.wantShape("0/2")
		r.wantStatus(OK)
		pass(time.Hour)
		if n := len(r.ec2.times("AssignPrefixes")); n != 1 {
			t.Errorf("%d times a prefix was asked for without need", n)
		}
		r.ec2.set(func() { r.ec2.blocks = 10 })
		first := r.mustAssign("a")
		pass(5 * time.Minute)
		r.wantShape("1/1")
		if h := r.held(att("a")); h.Addr.String() != first {
			t.Errorf("the pod had %s and has %s", first, h.Addr)
		}
		r.mustRelease("a")
		pass(5 * time.Minute)
		r.wantShape("1/0")
	})
}

// A new ENI in a subnet without a free /28 comes with single addresses.
func TestNewENIWithoutBlock(t *testing.T) {
	inBubble(t, prefixMode(), func(t *testing.T, r *rig) {
		r.ec2.blocks = 4
		r.start()
		for i := range 49 {
			r.mustAssign(fmt.Sprint(i))
			pass(time.Second)
		}
		pass(2 * time.Minute)
		r.wantShape("4/0 0/1")
		r.mustAssign("one more")
	})
}

// A live node that restarts in the other mode keeps its pods where they are.
func TestModeSwitch(t *testing.T) {
	inBubble(t, config.Config{WarmIP: 2}, func(t *testing.T, r *rig) {
		r.start()
		before := r.mustAssign("a")
		pass(5 * time.Second)
		r.wantShape("0/3")
		for _, step := range []struct {
			prefixes bool
			shape    string
		}{{true, "1/1"}, {false, "0/3"}} {
			r.stop()
			r.deps.Config.Prefixes = step.prefixes
			r.start()
			pass(5 * time.Minute)
			r.wantShape(step.shape)
			if after := r.mustAssign("a"); after != before {
				t.Errorf("the pod had %s and has %s", before, after)
			}
		}
	})
}

func TestNoPrefixesOnXen(t *testing.T) {
	inBubble(t, config.Config{WarmIP: 2, Prefixes: true}, func(_ *testing.T, r *rig) {
		r.ec2.limits.Hypervisor = "xen"
		r.start()
		r.wantShape("0/2")
	})
}

// The maximum of pods is not exceeded by a whole ENI's worth.
func TestMaxPods(t *testing.T) {
	inBubble(t, config.Config{WarmENI: 1, MaxPods: 6}, func(t *testing.T, r *rig) {
		r.start()
		for i := range 6 {
			r.mustAssign(fmt.Sprint(i))
		}
		pass(time.Minute)
		r.wantCounts("2/6/0/0")
		_, err := r.assign("one more", 5*time.Second)
		wantError(t, err, "MAX_PODS")
	})
}

// Pods that come and go within the patience cost no call.
func TestSurplusMustLast(t *testing.T) {
	c := config.Config{WarmIP: 1}
	inBubble(t, c, func(t *testing.T, r *rig) {
		r.start()
		for i := range 4 {
			r.mustAssign(fmt.Sprint(i))
		}
		pass(5 * time.Second)
		n := len(r.ec2.times("Assign"))
		for round := range 20 {
			for i := range 4 {
				r.mustRelease(fmt.Sprint(round*4 + i))
			}
			pass(20 * time.Second)
			for i := range 4 {
				r.mustAssign(fmt.Sprint(round*4 + 4 + i))
			}
			pass(20 * time.Second)
		}
		if u, a := len(r.ec2.times("Unassign")), len(r.ec2.times("Assign")); u != 0 || a != n {
			t.Errorf("%d Unassign and %d Assign for pods that came back soon", u, a-n)
		}
		for i := range 3 {
			r.mustRelease(fmt.Sprint(80 + i))
		}
		pass(3 * time.Minute)
		if got := r.View().Pool.Total(); got != 2 {
			t.Errorf("%d addresses after the surplus has lasted", got)
		}
	})
}
