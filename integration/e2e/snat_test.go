package e2e

import (
	"testing"

	"github.com/vpcchain/vpcchain/integration/scenario"
)

// Both captures and the chain listing of the SNAT scenario, from real packets.
func TestScenario(t *testing.T) {
	for name, external := range map[string]bool{"the node's SNAT": false, "external SNAT": true} {
		t.Run(name, func(t *testing.T) {
			l := up(t, "")
			r, err := scenario.Play(t.Context(), l, chainPath(t), external)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range r.Problems() {
				t.Error(p)
			}
			if t.Failed() {
				t.Logf("eth0: %v\neth1: %v\n%v", r.Primary, r.Second, r.Listings)
			}
		})
	}
}
