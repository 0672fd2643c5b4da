package engine

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/config"
	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/daemon/internal/pool"
)

// tagless is IMDS, which has no tags.
type tagless struct{ *fakeEC2 }

func (m tagless) ENIs(ctx context.Context) ([]eni.ENI, error) {
	enis, err := m.fakeEC2.ENIs(ctx)
	for i := range enis {
		enis[i].Tags, enis[i].Untold = nil, true
	}
	return enis, err
}

// A daemon that starts while EC2 does not answer uses the ENIs that it had pods
// on, and an ENI that may be an operator's only when EC2 has told.
func TestENIsThatEC2HasNotToldOf(t *testing.T) {
	inBubble(t, config.Config{WarmIP: 4}, func(t *testing.T, r *rig) {
		r.ec2.limits.ENIs = 4
		r.deps.Metadata = tagless{r.ec2}
		r.start()
		for i := range 6 {
			r.mustAssign(fmt.Sprint(i)) // the last ones on a second ENI
		}
		pass(time.Minute)
		r.stop()
		theirs, warm := r.ec2.make(4), r.ec2.make(2)
		theirs.attached, theirs.Device, theirs.Tags = true, 6, map[string]string{eni.TagNoManage: "true"}
		warm.attached, warm.Device = true, 7
		r.ec2.set(func() {
			for _, call := range []string{"Describe", "Assign", "Create"} {
				r.ec2.broken[call] = eni.ErrUnauthorized
			}
		})
		r.start()
		for _, m := range r.View().Pool.ENIs {
			if m.Reserved != (m.Count(pool.Used) == 0) {
				t.Errorf("%s: reserved %t, %q", m.ID, m.Reserved, m.Reason)
			}
		}
		r.mustAssign("7")
		r.ec2.set(func() { r.ec2.broken = map[string]error{} })
		pass(3 * time.Minute)
		for _, m := range r.View().Pool.ENIs {
			if m.Reserved != (m.ID == theirs.ID) {
				t.Errorf("EC2 has told; %s: reserved %t, %q", m.ID, m.Reserved, m.Reason)
			}
		}
	})
}
