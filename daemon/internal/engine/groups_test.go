package engine

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/config"
	"github.com/vpcchain/vpcchain/daemon/internal/eni"
)

func TestGroupsFollowThePrimaryENI(t *testing.T) {
	inZones(t, config.Config{WarmIP: 6}, map[string]int{"subnet-1": 100}, "subnet-1", func(t *testing.T, r *rig, z *zones, _ *fakePlaces) {
		r.ec2.limits.ENIs = 3
		theirs := r.ec2.make(0)
		theirs.attached, theirs.Device, theirs.Tags = true, 1, map[string]string{eni.TagNoManage: "true"}
		z.groups = []string{"sg-1", "sg-2"}
		r.start()
		want := func(step, calls string) {
			t.Helper()
			z.mu.Lock()
			defer z.mu.Unlock()
			if got := strings.Join(z.set, "; "); got != calls {
				t.Errorf("%s: %q, want %q", step, got, calls)
			}
		}
		pass(10 * time.Minute)
		want("an ENI has them from the start", "")
		z.fakeEC2.set(func() { z.groups = []string{"sg-2", "sg-1"} })
		pass(10 * time.Minute)
		want("another order", "")
		z.fakeEC2.set(func() { z.groups = []string{"sg-3"} })
		pass(groupsEvery + time.Second)
		want("another group", "eni-2 sg-3")
		r.stop()
		z.fakeEC2.set(func() { z.groups = []string{"sg-4"} })
		r.start()
		pass(groupsEvery)
		want("a change while the daemon was away", "eni-2 sg-3; eni-2 sg-4")
		pass(10 * time.Hour)
		want("calm", "eni-2 sg-3; eni-2 sg-4")
		z.fakeEC2.set(func() { z.groups = nil })
		pass(10 * time.Minute)
		want("IMDS has no groups", "eni-2 sg-3; eni-2 sg-4")
	})
}

func TestGroupsThatCannotBeSet(t *testing.T) {
	inZones(t, config.Config{WarmIP: 6}, map[string]int{"subnet-1": 100}, "subnet-1", func(t *testing.T, r *rig, z *zones, _ *fakePlaces) {
		r.start()
		z.fakeEC2.set(func() {
			z.groups = []string{"sg-2"}
			z.broken["SetGroups"] = errors.Join(errors.New("UnauthorizedOperation"), eni.ErrUnauthorized)
		})
		pass(10 * time.Minute)
		r.wantStatus(Limited, "giving eni-1 the security groups", "UnauthorizedOperation", "give the node's role")
		if n := len(r.ec2.times("SetGroups")); n < 5 || n > 16 {
			t.Errorf("%d attempts in 10 minutes", n)
		}
		r.mustAssign("a") // and pods go on
		z.fakeEC2.set(func() { z.groups = []string{"sg-1"} })
		pass(time.Minute)
		r.wantStatus(OK) // nothing differs any more
		z.fakeEC2.set(func() { z.groups, z.broken = []string{"sg-2"}, map[string]error{} })
		pass(2 * time.Minute)
		r.wantStatus(OK)
		if len(z.set) != 1 {
			t.Errorf("set %q", z.set)
		}
	})
}

// The groups of an ENIConfig's ENI are its own.
func TestGroupsWithCustomNetworking(t *testing.T) {
	c := config.Config{WarmIP: 1, Placing: config.Placing{CustomNet: true}}
	inZones(t, c, map[string]int{"subnet-2": 100}, "", func(t *testing.T, r *rig, z *zones, p *fakePlaces) {
		p.list = []eni.Placement{{SubnetID: "subnet-2", Groups: []string{"sg-pods"}}}
		r.start()
		pass(10 * time.Minute)
		if len(z.set) != 0 {
			t.Errorf("set %q", z.set)
		}
	})
}
