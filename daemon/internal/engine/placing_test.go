package engine

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vpcchain/vpcchain/daemon/internal/config"
	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/daemon/internal/pool"
)

// One subnet has no address: the pool grows in the other one at once.
func TestFullSubnetStopsNoOther(t *testing.T) {
	inZones(t, config.Config{WarmIP: 1}, map[string]int{"subnet-1": 2, "subnet-2": 50}, "subnet-1 subnet-2", func(t *testing.T, r *rig, z *zones, _ *fakePlaces) {
		r.start()
		r.mustAssign("a")
		r.mustAssign("b")
		c := r.later("c", time.Minute)
		pass(5 * time.Second)
		if got := c(); got.addr == "" || got.took > 2*time.Second {
			t.Errorf("subnet-2 has addresses: %+v", got)
		}
		if got := z.subnets(); got != "subnet-2" {
			t.Errorf("ENIs were tried in %q; that subnet-1 is full was known from the primary ENI", got)
		}
		// The pool has what it needs: nothing is wrong, and nothing more is tried.
		pass(time.Minute)
		r.wantStatus(OK)
		before := len(r.ec2.times("Assign")) + len(r.ec2.times("Create"))
		pass(time.Hour)
		if n := len(r.ec2.times("Assign")) + len(r.ec2.times("Create")); n != before {
			t.Errorf("%d calls in an hour of calm", n-before)
		}
	})
}

// A place that refuses an ENI is left for the next one without a pause.
func TestNextPlace(t *testing.T) {
	inZones(t, config.Config{WarmIP: 6}, map[string]int{"subnet-1": 4, "subnet-3": 50}, "subnet-2 subnet-3", func(t *testing.T, r *rig, z *zones, _ *fakePlaces) {
		r.start()
		r.wantCounts("2/0/0/6")
		r.wantStatus(OK)
		if got := z.subnets(); got != "subnet-2! subnet-3" {
			t.Errorf("ENIs were tried in %q", got)
		}
	})
}

// A subnet or group that does not exist is that place's fault alone.
func TestPlaceThatDoesNotExist(t *testing.T) {
	inZones(t, config.Config{WarmIP: 6}, map[string]int{"subnet-1": 4, "subnet-2": 50, "subnet-3": 50}, "subnet-2 subnet-3", func(t *testing.T, r *rig, z *zones, _ *fakePlaces) {
		r.ec2.faults["Create"] = []error{fmt.Errorf("InvalidSubnetID.NotFound: %w", eni.ErrNotFound)}
		r.start()
		r.wantCounts("2/0/0/6")
		if got := z.subnets(); got != "subnet-2 subnet-3" {
			t.Errorf("ENIs were tried in %q", got)
		}
	})
}

// A place that failed is tried again when its time has come, not with the slow tick.
func TestPlaceIsTriedAgainSoon(t *testing.T) {
	inZones(t, config.Config{WarmIP: 6}, map[string]int{"subnet-1": 4, "subnet-2": 50}, "subnet-2", func(t *testing.T, r *rig, _ *zones, _ *fakePlaces) {
		r.ec2.faults["Create"] = []error{eni.ErrNotFound}
		r.start()
		r.wantCounts("2/0/0/6")
	})
}

// Actions that meet a full subnet together are one failure; the choice among
// places that all failed waits for the first of them; a success ends it all.
func TestPlacesSpaceAttempts(t *testing.T) {
	inBubble(t, config.Config{WarmIP: 1}, func(t *testing.T, r *rig) {
		r.deps.Placement = &fakePlaces{z: &zones{fakeEC2: r.ec2}, list: []eni.Placement{{SubnetID: "a"}, {SubnetID: "b"}}}
		e := New(r.deps)
		now := time.Now()
		for range 5 {
			e.failed(inSubnet("a", eni.ErrSubnetFull), now)
		}
		if b := e.places["a"]; b.failures != 1 {
			t.Errorf("%d failures", b.failures)
		}
		if p, err := e.place(t.Context()); err != nil || p.SubnetID != "b" {
			t.Errorf("place %+v, %v", p, err)
		}
		for range 4 {
			e.failed(inSubnet("b", eni.ErrSubnetFull), now)
			now = e.places["b"].until
		}
		_, err := e.place(t.Context())
		first := e.places["a"].until
		if e.places["b"].until.Before(first) {
			first = e.places["b"].until
		}
		if wait := e.failed(err, time.Now()); wait != time.Until(first) || !errors.Is(err, eni.ErrSubnetFull) {
			t.Errorf("%v: again in %s, want %s", err, wait, time.Until(first))
		}
		e.places.succeeded("b")
		if len(e.places) != 1 || e.places["a"] == nil {
			t.Errorf("after a success in b: %v", e.places)
		}
		if other := errors.New("another"); e.failed(other, now) == 0 || !errors.Is(e.backoff.last, other) {
			t.Error("a failure of no subnet spaces all")
		}
	})
}

// All are full: each is tried again by itself, ever more rarely, and the status
// names them all until one takes an ENI.
func TestEverySubnetIsFull(t *testing.T) {
	inZones(t, config.Config{WarmIP: 1}, map[string]int{}, "subnet-1 subnet-2", func(t *testing.T, r *rig, z *zones, _ *fakePlaces) {
		r.start()
		patient := r.later("patient", time.Hour)
		_, err := r.assign("short", 5*time.Second)
		wantError(t, err, "growing fails", "in subnet-1", "in subnet-2", "add one for pods")
		r.ec2.set(func() { r.ec2.latency = 2 * time.Second }) // an attempt that goes on is no news yet
		for range 600 {
			r.wantStatus(Unavailable, "no free address", "in subnet-1", "in subnet-2")
			pass(time.Second)
		}
		tries := map[string]int{}
		for s := range strings.FieldsSeq(z.subnets()) {
			tries[s]++
		}
		tries["Assign"] = len(r.ec2.times("Assign"))
		for what, n := range tries {
			if n < 8 || n > 60 {
				t.Errorf("%d attempts in 10 minutes: %s", n, what)
			}
		}
		z.fakeEC2.set(func() { z.left["subnet-2"] = 10 })
		pass(2 * time.Minute)
		if patient().addr == "" {
			t.Errorf("subnet-2 has addresses again: %+v", patient())
		}
		r.wantStatus(OK)
	})
}

// An ENI is made as large as the subnet's free addresses allow.
func TestENIOfWhatIsLeft(t *testing.T) {
	inZones(t, config.Config{WarmIP: 7}, map[string]int{"subnet-1": 4, "subnet-2": 3}, "", func(t *testing.T, r *rig, z *zones, p *fakePlaces) {
		p.list = []eni.Placement{{SubnetID: "subnet-2", Free: 3}}
		r.start()
		r.wantCounts("2/0/0/6")
		if len(z.created) != 1 || z.created[0].Addresses != 2 {
			t.Errorf("creations %+v", z.created)
		}
	})
}

// There is no place to go: the status says why, ENIs that exist go on growing,
// and what an operator changes is seen at once.
func TestNoPlaceYet(t *testing.T) {
	inZones(t, config.Config{WarmIP: 1}, map[string]int{"subnet-1": 100, "subnet-2": 100}, "", func(t *testing.T, r *rig, z *zones, p *fakePlaces) {
		p.err = errors.New("custom networking needs the ENIConfig az-a: write it")
		r.start()
		r.wantStatus(OK) // it needs none so far
		for i := range 4 {
			r.mustAssign(fmt.Sprint(i))
		}
		waiting := r.later("waiting", time.Hour)
		pass(10 * time.Minute)
		r.wantStatus(Unavailable, "growing fails", "ENIConfig az-a: write it")
		if p.asked < 8 || p.asked > 60 {
			t.Errorf("asked %d times in 10 minutes", p.asked)
		}
		r.mustRelease("0") // the waiter's; its cooldown is 0
		pass(time.Second)
		if waiting().addr == "" {
			t.Errorf("an address of the ENI that exists: %+v", waiting())
		}
		late := r.later("late", time.Hour)
		pass(10 * time.Minute)
		z.fakeEC2.set(func() { p.err, p.list = nil, []eni.Placement{{SubnetID: "subnet-2", Groups: []string{"sg-pods"}}} })
		p.changes <- struct{}{}
		pass(2 * time.Second)
		if late().addr == "" {
			t.Errorf("there is a place: %+v", late())
		}
		r.wantStatus(OK)
		if got := z.subnets(); got != "subnet-2" || z.created[0].Groups[0] != "sg-pods" {
			t.Errorf("creations %+v", z.created)
		}
	})
}

// With custom networking the primary ENI has no pods, and a daemon without its
// ENIConfig waits for it.
func TestCustomNetworkingWaitsForItsENIConfig(t *testing.T) {
	c := config.Config{WarmIP: 1, Placing: config.Placing{CustomNet: true}}
	inZones(t, c, map[string]int{"subnet-1": 100, "subnet-2": 100}, "", func(t *testing.T, r *rig, z *zones, p *fakePlaces) {
		p.err = errors.New("custom networking needs the ENIConfig az-a: write it")
		r.start()
		r.wantStatus(Unavailable, "no free address", "ENIConfig az-a: write it")
		z.fakeEC2.set(func() { p.err, p.list = nil, []eni.Placement{{SubnetID: "subnet-2"}} })
		p.changes <- struct{}{}
		pass(2 * time.Second)
		r.wantStatus(OK)
		r.wantCounts("2/0/0/1")
		if z.created[0].Groups[0] != "sg-1" {
			t.Errorf("an ENIConfig without groups: %+v", z.created[0].Groups)
		}
	})
}

func TestTags(t *testing.T) {
	c := config.Config{WarmIP: 5, Placing: config.Placing{ClusterName: "prod", ENITags: map[string]string{"team": "net"}}}
	inZones(t, c, map[string]int{"subnet-1": 100}, "subnet-1", func(t *testing.T, r *rig, z *zones, _ *fakePlaces) {
		begin := time.Now()
		r.start()
		want := map[string]string{
			"team": "net", "node.k8s.amazonaws.com/instance_id": "i-1", "cluster.k8s.amazonaws.com/name": "prod", "eks:eni:owner": "amazon-vpc-cni",
		}
		got := maps.Clone(z.created[0].Tags)
		at, err := time.Parse(time.RFC3339, got["node.k8s.amazonaws.com/createdAt"])
		if d := at.Sub(begin); err != nil || d < -time.Second || d > 5*time.Second {
			t.Errorf("createdAt %q, %v", got["node.k8s.amazonaws.com/createdAt"], err)
		}
		delete(got, "node.k8s.amazonaws.com/createdAt")
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("tags (-want +got):\n%s", d)
		}
		if len(c.ENITags) != 1 {
			t.Errorf("the settings were changed: %v", c.ENITags)
		}
	})
}

// An ENI that an operator keeps to himself is counted and shown, and that is all.
func TestUnmanagedENI(t *testing.T) {
	inBubble(t, config.Config{WarmIP: 6}, func(t *testing.T, r *rig) {
		r.ec2.limits.ENIs = 3
		theirs := r.ec2.make(3)
		theirs.attached, theirs.Device, theirs.AttachmentID, theirs.Tags = true, 1, "attach-theirs", map[string]string{eni.TagNoManage: "true"}
		r.start()
		r.wantCounts("3/0/0/6")
		var seen []string
		for _, d := range r.host.last().ENIs {
			seen = append(seen, d.ID)
		}
		if len(seen) != 2 || strings.Contains(strings.Join(seen, " "), theirs.ID) {
			t.Errorf("the kernel is to have %q", seen)
		}
		for _, m := range r.View().Pool.ENIs {
			if m.ID == theirs.ID && (!m.Reserved || m.Count(pool.Reserved) != 3 || !strings.Contains(m.Reason, eni.TagNoManage)) {
				t.Errorf("shown as %+v", m)
			}
		}
		addrs := map[string]bool{}
		for i := range 8 {
			addrs[r.mustAssign(fmt.Sprint(i))] = true
		}
		for _, a := range theirs.Addresses {
			if addrs[a.String()] {
				t.Errorf("a pod has %s", a)
			}
		}
		_, err := r.assign("late", time.Second)
		wantError(t, err, "8 used", "move pods to another node")
		for i := range 8 {
			r.mustRelease(fmt.Sprint(i))
		}
		pass(time.Hour)
		if e := r.ec2.enis[theirs.ID]; e == nil || !e.attached || len(e.Addresses) != 3 {
			t.Errorf("it was touched: %+v", e)
		}
	})
}
