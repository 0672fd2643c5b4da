package engine

import (
	"fmt"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/config"
)

// An ENI that somebody detached does not lie about in EC2: it is used again, or
// deleted; and its pods' addresses are given to nobody meanwhile.
func TestDetachedENIIsFound(t *testing.T) {
	for _, pods := range []int{3, 5} { // none on the ENI that goes, and one
		t.Run(fmt.Sprint(pods), func(t *testing.T) {
			inBubble(t, config.Config{WarmIP: 2, Cooldown: time.Second}, func(t *testing.T, r *rig) {
				r.start()
				for i := range pods {
					r.mustAssign(fmt.Sprint(i))
				}
				pass(time.Minute)
				var gone string
				r.ec2.set(func() {
					for id, e := range r.ec2.enis {
						if !e.IsPrimary() {
							gone, e.attached = id, false
						}
					}
				})
				if gone == "" {
					t.Fatal("there is no second ENI")
				}
				pass(10 * time.Minute)
				r.ec2.set(func() {
					for id, e := range r.ec2.enis {
						if !e.attached {
							t.Errorf("%s is left over, %s was detached", id, gone)
						}
					}
				})
				before := len(r.ec2.times("Available"))
				pass(2 * time.Hour)
				if n := len(r.ec2.times("Available")) - before; n > 0 {
					t.Errorf("EC2 was asked %d times more for spare ENIs", n)
				}
			})
		})
	}
}
