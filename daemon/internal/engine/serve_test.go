package engine

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vpcchain/vpcchain/daemon/internal/config"
	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/daemon/internal/hostnet"
	"github.com/vpcchain/vpcchain/daemon/internal/pool"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

func TestAssign(t *testing.T) {
	inBubble(t, config.Config{WarmIP: 2, Cooldown: 30 * time.Second}, func(t *testing.T, r *rig) {
		r.start()
		r.wantCounts("1/0/0/2")
		begin := time.Now()
		got, err := r.Assign(t.Context(), att("a"), pool.Pod{Namespace: "ns", Name: "web"})
		if err != nil || time.Since(begin) != 0 {
			t.Fatalf("Assign from a warm pool: %v after %s", err, time.Since(begin))
		}
		if got.Allocation.ENI != "eni-0" || got.ENI.ID != "eni-0" || got.MTU != 9001 || got.Pod.Name != "web" {
			t.Errorf("answer %+v", got)
		}
		if r.store.recorded()[att("a")].Addr != got.Addr || r.host.table(got.Addr) != vpcnet.TableMain {
			t.Error("answered before it was recorded and its rule was in place")
		}
		if again := r.mustAssign("a"); again != got.Addr.String() {
			t.Errorf("asked again, got %s", again)
		}
		pass(time.Second)
		r.wantCounts("1/1/0/2")
		r.mustRelease("a")
		if h, err := r.Release(att("a")); err != nil || h.Addr.IsValid() {
			t.Errorf("a second Release: %+v, %v", h, err)
		}
		r.wantCounts("1/0/1/2")
	})
}

func TestAssignOnSecondENI(t *testing.T) {
	inBubble(t, config.Config{WarmIP: 1}, func(t *testing.T, r *rig) {
		r.start()
		for i := range 5 {
			r.mustAssign(fmt.Sprint(i))
		}
		h := r.held(att("4"))
		if h.ENI != "eni-1" || r.host.table(h.Addr) != vpcnet.ENITable(0, 1) {
			t.Errorf("the fifth pod lies on %s, table %d", h.ENI, r.host.table(h.Addr))
		}
		pass(time.Second)
		veth := vpcnet.HostVethName("eni", "ns", "4", "4", "eth0")
		want := hostnet.Pod{Addr: h.Addr, HostVeth: veth}
		if pods := r.host.last().Pods; len(pods) != 5 || !slices.Contains(pods, want) {
			t.Errorf("pod routes %+v, want five and %+v", pods, want)
		}
	})
}

// EC2 gives ascending addresses, so with one ENI the order of service shows in them.
func TestWaitersAreServedInOrder(t *testing.T) {
	inBubble(t, config.Config{WarmIP: 1}, func(t *testing.T, r *rig) {
		r.ec2.limits = eni.Limits{ENIs: 1, IPv4PerENI: 20}
		r.ec2.latency = 2 * time.Second
		r.start()
		var waiting []func() answer
		for i := range 8 {
			waiting = append(waiting, r.later(fmt.Sprint(i), time.Minute))
			time.Sleep(10 * time.Millisecond)
		}
		pass(30 * time.Second)
		last := netip.Addr{}
		for i, now := range waiting {
			a := now()
			addr, err := netip.ParseAddr(a.addr)
			if a.err != nil || err != nil || !last.Less(addr) {
				t.Errorf("ADD %d got %q, %v after %s; the one before got %s", i, a.addr, a.err, a.took, last)
			}
			last = addr
		}
		if first := waiting[1]().took; first > 5*time.Second {
			t.Errorf("the first that waited was served after %s; EC2 takes 2 s a call", first)
		}
		if n := r.View().Waiters; n != 0 {
			t.Errorf("%d waiters are left", n)
		}
	})
}

func TestLatecomerQueues(t *testing.T) {
	inBubble(t, config.Config{WarmIP: 1, MaxENI: 1}, func(t *testing.T, r *rig) {
		r.start()
		for i := range 4 {
			r.mustAssign(fmt.Sprint(i))
		}
		first := r.later("first", time.Minute)
		second := r.later("second", time.Minute)
		r.mustRelease("2")
		third := r.beside("third", 20*time.Second)
		pass(time.Second)
		if first().addr == "" || second().addr != "" || third().addr != "" {
			t.Errorf("one address: first %+v, second %+v, third %+v", first(), second(), third())
		}
		pass(30 * time.Second)
		if !errors.Is(third().err, ErrNoAddress) {
			t.Errorf("third: %+v", third())
		}
		r.mustRelease("1")
		pass(time.Second)
		if second().addr == "" {
			t.Errorf("second: %+v", second())
		}
	})
}

func TestDeadlineSaysWhyAndWhatNext(t *testing.T) {
	one := config.Config{WarmIP: 1, MaxENI: 1, Cooldown: 10 * time.Minute}
	breaks := func(err error) func(*rig) {
		return func(r *rig) { r.ec2.set(func() { r.ec2.broken["Assign"] = err }) }
	}
	for _, tc := range []struct {
		name   string
		before func(r *rig)
		pods   int
		want   []string
	}{
		{"instance is full", func(*rig) {}, 4, []string{"1 ENIs with 4 addresses: 4 used", "all a t3.small may have", "MAX_ENI", "move pods to another node"}},
		{"subnet is full", breaks(eni.ErrSubnetFull), 1, []string{"1 used", "growing fails", "too few free addresses", "free addresses in the subnet"}},
		{"not allowed", breaks(fmt.Errorf("UnauthorizedOperation: %w", eni.ErrUnauthorized)), 1, []string{"UnauthorizedOperation", "give the node's role"}},
		{"throttled", breaks(eni.ErrThrottled), 1, []string{"throttles", "tries again by itself"}},
		{"unclassified, two lines", breaks(errors.New("one\ntwo")), 1, []string{"one; two"}},
		{"slow", func(r *rig) { r.ec2.set(func() { r.ec2.latency = time.Minute }) }, 1, []string{"the pool is growing", "assign 2 addresses to eni-0"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inBubble(t, one, func(t *testing.T, r *rig) {
				r.start()
				if tc.pods == 1 {
					tc.before(r)
				}
				for i := range tc.pods {
					r.mustAssign(fmt.Sprint(i))
				}
				_, err := r.assign("late", 5*time.Second)
				if !errors.Is(err, ErrNoAddress) {
					t.Errorf("error %v", err)
				}
				wantError(t, err, append(tc.want, "no free address for vpc/late/eth0")...)
				if n := r.View().Waiters; n != 0 {
					t.Errorf("%d waiters are left", n)
				}
			})
		})
	}
}

func TestDeadlineWhileAddressesRest(t *testing.T) {
	inBubble(t, config.Config{WarmIP: 1, MaxENI: 1, Cooldown: time.Minute}, func(t *testing.T, r *rig) {
		r.start()
		for i := range 4 {
			r.mustAssign(fmt.Sprint(i))
		}
		r.mustRelease("0")
		_, err := r.assign("late", 5*time.Second)
		wantError(t, err, "3 used, 1 resting after use")
		// The loop wakes for the end of the rest itself, not for its slow tick.
		patient := r.later("patient", 2*time.Minute)
		pass(time.Minute)
		if got := patient(); got.addr == "" || got.took != 55*time.Second {
			t.Errorf("served %+v; the address rested for 60 s, 5 s of them before the ADD", got)
		}
		r.wantCounts("1/4/0/0")
	})
}

// What an ADD got that nobody hears of must not stay assigned.
func TestAssignInVainLeavesNothing(t *testing.T) {
	inBubble(t, config.Config{WarmIP: 2}, func(t *testing.T, r *rig) {
		r.start()
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := r.Assign(gone, att("gone"), pool.Pod{}); !errors.Is(err, context.Canceled) {
			t.Errorf("Assign for a plugin that is gone: %v", err)
		}
		held := r.mustAssign("held")
		r.host.set(func() { r.host.fromErr = errors.New("no buffer space") })
		_, err := r.assign("a", time.Second)
		wantError(t, err, "no buffer space")
		_, err = r.assign("held", time.Second)
		wantError(t, err, "no buffer space")
		r.host.set(func() { r.host.fromErr = nil })
		r.store.set(errors.New("no space left on device"))
		_, err = r.assign("b", time.Second)
		wantError(t, err, "no space left")
		if _, err := r.Release(att("held")); err == nil {
			t.Error("a Release that could not be recorded succeeded")
		}
		r.store.set(nil)
		if again := r.mustAssign("held"); again != held {
			t.Errorf("the pod that ran had %s and has %s", held, again)
		}
		if len(r.store.recorded()) != 1 || r.View().Pool.Count(pool.Used) != 1 {
			t.Errorf("recorded %v; %s", r.store.recorded(), r.counts())
		}
	})
}

// A plugin whose connection broke asks again: the end of its first call must
// not take what the second one got.
func TestTwoCallsOfOneAttachment(t *testing.T) {
	inBubble(t, config.Config{WarmIP: 1, MaxENI: 1}, func(t *testing.T, r *rig) {
		r.start()
		for i := range 4 {
			r.mustAssign(fmt.Sprint(i))
		}
		first, second := r.later("twice", 10*time.Second), r.later("twice", time.Minute)
		pass(11 * time.Second)
		if first().err == nil || second().took >= 0 {
			t.Fatalf("first %+v, second %+v", first(), second())
		}
		third := r.later("twice", 10*time.Second)
		r.mustRelease("0")
		pass(time.Second)
		if second().addr == "" || third().addr != second().addr {
			t.Errorf("second %+v, third %+v", second(), third())
		}
		pass(time.Minute)
		if h := r.held(att("twice")); h.Addr.String() != second().addr {
			t.Errorf("holds %+v", h)
		}
	})
}

func TestReleaseOfARenamedNetwork(t *testing.T) {
	inBubble(t, config.Config{WarmIP: 1}, func(t *testing.T, r *rig) {
		r.start()
		addr := r.mustAssign("a")
		h, err := r.Release(vpcnet.Attachment{Network: "renamed", ContainerID: "a", IfName: "eth0"})
		if err != nil || h.Addr.String() != addr || len(r.store.recorded()) != 0 {
			t.Errorf("Release = %+v, %v; recorded %v", h, err, r.store.recorded())
		}
	})
}

func TestCollect(t *testing.T) {
	inBubble(t, config.Config{WarmIP: 4}, func(t *testing.T, r *rig) {
		r.start()
		other := vpcnet.Attachment{Network: "other", ContainerID: "x", IfName: "eth0"}
		for _, id := range []string{"a", "b", "c"} {
			r.mustAssign(id)
		}
		if _, err := r.Assign(t.Context(), other, pool.Pod{}); err != nil {
			t.Fatal(err)
		}
		if n, err := r.Collect("vpc", []vpcnet.Attachment{att("b"), att("unknown")}); n != 2 || err != nil {
			t.Errorf("Collect = %d, %v", n, err)
		}
		synctest.Wait()
		var left []string
		for _, a := range []vpcnet.Attachment{att("a"), att("b"), att("c"), other} {
			if r.held(a).Addr.IsValid() {
				left = append(left, a.Alias())
			}
		}
		if d := cmp.Diff([]string{"vpc/b/eth0", "other/x/eth0"}, left); d != "" {
			t.Errorf("held after Collect (-want +got):\n%s", d)
		}
		r.store.set(errors.New("no space left on device"))
		if n, err := r.Collect("vpc", nil); n != 0 || err == nil {
			t.Errorf("Collect that cannot be recorded = %d, %v", n, err)
		}
	})
}

func TestCheck(t *testing.T) {
	inBubble(t, config.Config{WarmIP: 1}, func(t *testing.T, r *rig) {
		r.start()
		addr := r.mustAssign("a")
		if err := r.Check(att("a"), addr); err != nil {
			t.Error(err)
		}
		if err := r.Check(att("b"), addr); !errors.Is(err, ErrUnknown) {
			t.Errorf("Check of one that holds nothing: %v", err)
		}
		wantError(t, r.Check(att("a"), "10.0.0.99"), "holds "+addr+", not 10.0.0.99")
		r.host.set(func() { r.host.down["eni-0"] = "its link is down" })
		pass(time.Second)
		wantError(t, r.Check(att("a"), addr), "eni-0", "not ready: its link is down")
	})
}
