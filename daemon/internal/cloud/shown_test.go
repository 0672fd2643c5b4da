package cloud

import (
	"errors"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/integration/vpcsim/topology"
)

// EC2 does not know a new ENI for some seconds: the attach is repeated, and waits
// no longer than it must.
func TestAttachWaitsForTheENI(t *testing.T) {
	for _, tc := range []struct {
		hidden   time.Duration
		took     time.Duration
		attempts int
		fails    bool
	}{
		{0, 0, 0, false},
		{400 * time.Millisecond, 500 * time.Millisecond, 1, false},
		{3 * time.Second, 3500 * time.Millisecond, 3, false},
		{time.Minute, 7500 * time.Millisecond, 5, true},
	} {
		onNodeA(t, Options{}, func(n node) {
			check(n.t, n.sim.SetConditions(topology.Conditions{NewENIDelay: topology.Duration(tc.hidden)}))
			e, err := n.c.Create(n.t.Context(), eni.CreateSpec{SubnetID: "subnet-a"})
			check(n.t, err)
			begin := time.Now()
			_, err = n.c.Attach(n.t.Context(), e.ID, 0, 1)
			if took := time.Since(begin); took != tc.took || tc.fails != (err != nil) || tc.fails != errors.Is(err, eni.ErrNotFound) {
				n.t.Errorf("hidden for %s: %v after %s, want %s", tc.hidden, err, took, tc.took)
			}
			if got := calls(n.sim)["AttachNetworkInterface InvalidNetworkInterfaceID.NotFound"]; got != tc.attempts {
				n.t.Errorf("hidden for %s: %d attempts in vain, want %d", tc.hidden, got, tc.attempts)
			}
		})
	}
}
