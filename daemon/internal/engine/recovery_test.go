package engine

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/config"
	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/daemon/internal/orphans"
	"github.com/vpcchain/vpcchain/daemon/internal/pool"
	"github.com/vpcchain/vpcchain/daemon/internal/rebuild"
)

// found is a kernel with pods that the books do not have.
type found struct {
	mu   sync.Mutex
	plan rebuild.Plan
	seen map[netip.Addr]bool
	err  error
}

func (f *found) Recover(context.Context, []eni.ENI, []pool.Allocation) (rebuild.Plan, error) {
	return f.plan, f.err
}

func (f *found) Seen(context.Context) (map[netip.Addr]bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.seen, nil
}

// What the kernel shows is held before anybody asks; what it shows of nobody is
// withheld for as long as it does, and rests then.
func TestRebuiltAllocations(t *testing.T) {
	inBubble(t, config.Config{WarmIP: 2, MaxENI: 1, Cooldown: 5 * time.Second, Recovering: config.Recovering{OrphanGrace: time.Minute}}, func(t *testing.T, r *rig) {
		r.ec2.enis["eni-0"].Addresses = r.ec2.addresses(4)
		addrs := slices.Clone(r.ec2.enis["eni-0"].Addresses)
		f := &found{
			plan: rebuild.Plan{
				Held:     []pool.Allocation{{Attachment: att("a"), Addr: addrs[0], ENI: "eni-0", Pod: pool.Pod{HostVeth: "eniabc"}}},
				Withheld: map[netip.Addr]string{addrs[1]: "in use"},
			},
			seen: map[netip.Addr]bool{addrs[1]: true},
		}
		r.deps.Recovery = f
		r.start()
		if got := r.mustAssign("a"); got != addrs[0].String() {
			t.Errorf("a has %s, want %s as before", got, addrs[0])
		}
		if p := r.host.last().Pods; len(p) != 1 || p[0].HostVeth != "eniabc" {
			t.Errorf("pod routes %+v", p)
		}
		for _, id := range []string{"b", "c"} {
			if got := r.mustAssign(id); got == addrs[1].String() {
				t.Errorf("%s has %s, which is in use", id, got)
			}
		}
		if got, err := r.assign("d", time.Minute); err == nil {
			t.Errorf("d has %s while the kernel uses it", got)
		}
		f.mu.Lock()
		f.seen = nil
		f.mu.Unlock()
		if got, err := r.assign("d", 2*time.Minute); err != nil || got != addrs[1].String() {
			t.Errorf("d has %s, %v; want %s, which is not in use any more", got, err, addrs[1])
		}
	})
}

func TestStartRefusesWithoutRecovery(t *testing.T) {
	inBubble(t, config.Config{WarmIP: 1}, func(t *testing.T, r *rig) {
		r.deps.Recovery = &found{err: errors.New("the checkpoint is broken")}
		wantError(t, New(r.deps).Start(t.Context()), "checkpoint is broken")
	})
}

// finder says that the attachments are orphans.
type finder struct {
	mu      sync.Mutex
	orphans map[string]time.Time
}

func (f *finder) Find(_ context.Context, held []pool.Allocation, _ time.Time) (out []pool.Allocation, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, h := range held {
		if since, ok := f.orphans[h.Attachment.ContainerID]; ok {
			if !since.IsZero() {
				h.Since = since
			}
			out = append(out, h)
		}
	}
	return out, nil
}

func (f *finder) Judge(ctx context.Context, held []pool.Allocation, now time.Time) (orphans.Verdicts, error) {
	gone, err := f.Find(ctx, held, now)
	out := orphans.Verdicts{Alive: len(held) - len(gone)}
	for _, h := range gone {
		out.List = append(out.List, orphans.Verdict{Allocation: h, Release: true, Why: "it is gone"})
	}
	return out, err
}

func TestOrphansAreReleased(t *testing.T) {
	inBubble(t, config.Config{WarmIP: 1, Recovering: config.Recovering{OrphanGrace: time.Minute}}, func(t *testing.T, r *rig) {
		f := &finder{orphans: map[string]time.Time{}}
		r.deps.Orphans = f
		r.start()
		for _, id := range []string{"lives", "orphan", "again"} {
			r.mustAssign(id)
		}
		f.mu.Lock()
		f.orphans["orphan"] = time.Time{}
		f.orphans["again"] = time.Now().Add(-time.Hour) // another life of it
		f.mu.Unlock()
		pass(sweepEvery + time.Second)
		if r.held(att("orphan")).Addr.IsValid() {
			t.Error("the orphan keeps its address")
		}
		if !r.held(att("lives")).Addr.IsValid() || !r.held(att("again")).Addr.IsValid() {
			t.Error("released without reason")
		}
	})
}

// An operator's sweep releases at once what is gone, and neither who came again
// since nor, dry, anybody.
func TestSweep(t *testing.T) {
	inBubble(t, config.Config{WarmIP: 1, Recovering: config.Recovering{OrphanGrace: time.Hour}}, func(t *testing.T, r *rig) {
		f := &finder{orphans: map[string]time.Time{"orphan": {}, "again": time.Now().Add(-time.Hour)}}
		r.start()
		if _, err := r.Sweep(t.Context(), false); !errors.Is(err, ErrNoKernel) {
			t.Errorf("without a kernel: %v", err)
		}
		r.Orphans = f
		for _, id := range []string{"lives", "orphan", "again"} {
			r.mustAssign(id)
		}
		v, err := r.Sweep(t.Context(), true)
		if err != nil || len(v.List) != 2 || v.Alive != 1 || !r.held(att("orphan")).Addr.IsValid() {
			t.Errorf("dry: %+v, %v", v, err)
		}
		v, err = r.Sweep(t.Context(), false)
		if err != nil || len(v.List) != 2 {
			t.Fatalf("%+v, %v", v, err)
		}
		for _, x := range v.List {
			if id := x.Attachment.ContainerID; x.Release != (id == "orphan") || r.held(x.Attachment).Addr.IsValid() != (id == "again") {
				t.Errorf("%s: released %v, %s", id, x.Release, x.Why)
			}
		}
		if !r.held(att("lives")).Addr.IsValid() {
			t.Error("who lives was released")
		}
	})
}

// take makes EC2 and IMDS forget an address, and returns what puts it back.
func (r *rig) take(a netip.Addr) (back func()) {
	var id string
	r.ec2.set(func() {
		for _, e := range r.ec2.enis {
			if slices.Contains(e.Addresses, a) {
				id = e.ID
				e.Addresses = slices.DeleteFunc(slices.Clone(e.Addresses), func(b netip.Addr) bool { return a == b })
			}
		}
	})
	return func() { r.ec2.set(func() { r.ec2.enis[id].Addresses = append(r.ec2.enis[id].Addresses, a) }) }
}

// An address that somebody takes away shows in IMDS; EC2 is asked, twice, and
// then no more. Until the second answer nothing changes for the pod.
func TestAddressTakenAway(t *testing.T) {
	inBubble(t, config.Config{WarmIP: 1, MaxENI: 1}, func(t *testing.T, r *rig) {
		r.start()
		a := netip.MustParseAddr(r.mustAssign("a"))
		pass(time.Minute)
		asked := len(r.ec2.times("Describe"))
		r.take(a)
		pass(2*imdsEvery + 10*time.Second)
		if n := len(r.ec2.times("Describe")) - asked; n != 1 {
			t.Fatalf("EC2 was asked %d times after two readings of IMDS", n)
		}
		if err := r.Check(att("a"), a.String()); err != nil {
			t.Errorf("after one answer: %v", err)
		}
		pass(time.Minute)
		r.wantStatus(Limited, a.String(), "delete the pod")
		if s := r.View().Pool; len(s.Lost) != 1 {
			t.Errorf("lost: %v", s.Lost)
		}
		asked = len(r.ec2.times("Describe"))
		pass(time.Hour)
		if n := len(r.ec2.times("Describe")) - asked; n > 1 {
			t.Errorf("EC2 was asked %d times in an hour in which nothing changed", n)
		}
		r.mustRelease("a")
		pass(time.Minute)
		r.wantStatus(OK)
	})
}

// One stale answer changes nothing, not even for a pod that comes and goes.
func TestStaleAnswer(t *testing.T) {
	inBubble(t, config.Config{WarmIP: 1, MaxENI: 1}, func(t *testing.T, r *rig) {
		r.start()
		a := netip.MustParseAddr(r.mustAssign("a"))
		r.stop()
		back := r.take(a)
		r.start() // EC2's first answer lacks it
		if err := r.Check(att("a"), a.String()); err != nil {
			t.Errorf("after a stale answer: %v", err)
		}
		if !slices.ContainsFunc(r.View().Pool.ENIs[0].Slots, func(s pool.Address) bool { return s.Addr == a && strings.Contains(s.Note, "not listed") }) {
			t.Errorf("nothing tells of the doubt: %+v", r.View().Pool.ENIs[0].Slots)
		}
		r.mustRelease("a")
		pass(time.Second)
		if got, err := r.assign("b", 10*time.Second); err == nil && got == a.String() {
			t.Errorf("b has %s, which is in doubt", got)
		}
		back()
		pass(2 * time.Minute)
		r.wantStatus(OK)
		if n := r.View().Pool.Count(pool.Withheld); n != 0 {
			t.Errorf("%d addresses stay in doubt", n)
		}
	})
}

// An ADD that cannot be recorded fails and says why; so does STATUS.
func TestFullDiskFailsADD(t *testing.T) {
	inBubble(t, config.Config{WarmIP: 2}, func(t *testing.T, r *rig) {
		r.start()
		r.store.set(errors.New("no space left on device: free space there"))
		_, err := r.assign("a", time.Second)
		wantError(t, err, "cannot be recorded", "free space")
		if !errors.Is(err, ErrNotRecorded) {
			t.Error("its class is lost")
		}
		pass(time.Second)
		r.wantStatus(Limited, "free space")
		pass(sweepEvery + slowTick)
		r.wantStatus(OK)
		r.store.set(nil)
		r.mustAssign("a")
		pass(time.Second)
		r.wantStatus(OK)
	})
}
