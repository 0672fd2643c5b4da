package engine

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/config"
	"github.com/vpcchain/vpcchain/daemon/internal/eni"
)

// What holds the loop up is said with how long it lasts, and nothing of a node
// that is at rest.
func TestHold(t *testing.T) {
	throttled := fmt.Errorf("EC2: %w", eni.ErrThrottled)
	for name, tc := range map[string]struct {
		do   func(r *rig)
		want string
		most time.Duration // 0: it is not known
	}{
		"at rest":        {func(*rig) {}, "", 0},
		"EC2 fails":      {func(r *rig) { fails(r, "Assign", errors.New("broken")) }, "EC2 is tried again: broken", 2 * time.Minute},
		"EC2 throttles":  {func(r *rig) { fails(r, "Assign", throttled) }, "EC2 is tried again: EC2: ", 2 * time.Minute},
		"a subnet":       {func(r *rig) { fails(r, "Assign", eni.ErrSubnetFull) }, "a subnet is tried again: ", 2 * time.Minute},
		"a full node":    {func(r *rig) { fill(r, 8) }, "1 addresses short: t3.small may have no more", 0},
		"a surplus":      {func(r *rig) { fill(r, 6); empty(r, 6) }, "addresses more than wanted are given back", time.Minute},
		"throttled once": {func(r *rig) { fails(r, "Assign", throttled); heals(r, "Assign"); pass(20 * time.Second) }, "it is asked for what pods wait for", 12 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, config.Config{WarmIP: 1, Cooldown: time.Second}, func(t *testing.T, r *rig) {
				r.start()
				tc.do(r)
				b := r.Bearings()
				if (tc.want == "") != (b.Hold == "") || !strings.Contains(b.Hold, tc.want) || b.Lasts < 0 || b.Lasts > tc.most || (tc.most > 0) != (b.Lasts > 0) {
					t.Errorf("held up by %q for %s, want %q for at most %s", b.Hold, b.Lasts, tc.want, tc.most)
				}
			})
		})
	}
}

func fails(r *rig, call string, err error) {
	r.ec2.set(func() { r.ec2.broken[call] = err })
	r.mustAssign("a")
	pass(300 * time.Millisecond)
}

func heals(r *rig, call string) { r.ec2.set(func() { delete(r.ec2.broken, call) }) }

func fill(r *rig, pods int) {
	for i := range pods {
		r.mustAssign(fmt.Sprint(i))
		pass(3 * time.Second)
	}
}

func empty(r *rig, pods int) {
	for i := range pods {
		r.mustRelease(fmt.Sprint(i))
	}
	pass(5 * time.Second)
}
