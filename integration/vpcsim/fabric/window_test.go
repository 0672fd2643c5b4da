package fabric_test

import (
	"net/netip"
	"os/exec"
	"slices"
	"testing"
	"time"
)

// While ENIs come by addresses no packet of another is refused, not even in the
// instant in which the kernel takes up the new ruleset.
func TestNoPacketIsRefusedMeanwhile(t *testing.T) {
	t.Parallel()
	v := newVPC(t, nil)
	v.plan.Ports[0].Prefixes = []netip.Prefix{cidr("10.20.1.32/28")}
	v.own(nodeA, ip("10.20.1.40"))
	v.apply()
	flood := exec.Command("nsenter", "--net="+v.dir.Net(nodeA), "--", "ping", "-f", "-q", "-w", "3", "-I", "10.20.1.40", addrB().String()) //nolint:gosec // the test's own words
	must(t, flood.Start())
	rest := v.plan.Ports[1].Addresses
	reloads := 0
	for end := time.Now().Add(2500 * time.Millisecond); time.Now().Before(end); reloads++ {
		v.plan.Ports[1].Addresses = rest
		if reloads%2 == 0 {
			v.plan.Ports[1].Addresses = append(slices.Clip(rest), ip("10.20.2.77"))
		}
		v.apply()
	}
	if err := flood.Wait(); err != nil {
		t.Errorf("ping: %v", err)
	}
	refused, err := v.fabric.Refused()
	must(t, err)
	if len(refused) > 0 {
		t.Errorf("refused in %d changes: %v", reloads, refused)
	}
	if reloads < 20 {
		t.Errorf("only %d changes", reloads)
	}
}
