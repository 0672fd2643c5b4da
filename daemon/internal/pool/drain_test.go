package pool

import (
	"net/netip"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// No pod gets an address of an ENI that is drained, whatever kind it is of; who has
// one keeps it; what rests goes on resting; and all is as before when it is cancelled.
func TestDrain(t *testing.T) {
	now, attachment := time.Unix(1e9, 0), func(id string) vpcnet.Attachment {
		return vpcnet.Attachment{Network: "n", ContainerID: id, IfName: "eth0"}
	}
	addr := netip.MustParseAddr
	p := New(30 * time.Second)
	p.Drain("eni-1", true) // told of before the pool has it
	p.SetENIs([]eni.ENI{
		{ID: "eni-0", Addresses: []netip.Addr{addr("10.0.0.10")}},
		{ID: "eni-1", Device: 1, Addresses: []netip.Addr{addr("10.0.0.20"), addr("10.0.0.21"), addr("10.0.0.22")}, Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.1.0/28")}},
	}, now)
	for _, id := range []string{"eni-0", "eni-1"} {
		p.SetReady(id, true, "")
	}
	p.Drain("eni-1", false)
	for _, id := range []string{"a", "b", "c"} {
		p.Assign(attachment(id), Pod{}, now)
	}
	p.Release(attachment("b"), now)
	p.Drain("eni-1", true)
	p.Drain("eni-0", true) // lives as long as the instance
	if h, ok := p.Assign(attachment("d"), Pod{}, now.Add(time.Hour)); ok {
		t.Errorf("a pod gets %s of an ENI that is drained", h.Addr)
	}
	s := p.Snapshot(now)
	if e := s.ENIs[1]; !e.Draining || e.Reserved || e.Count(Used) != 1 || e.Count(Cooling) != 1 || e.Count(Reserved) != 17 || e.Count(Free) != 0 {
		t.Errorf("%+v", e)
	}
	if e := s.ENIs[0]; e.Draining || e.Count(Used) != 1 {
		t.Errorf("the primary ENI: %+v", e)
	}
	if _, ok := p.TakeENI("eni-1"); ok {
		t.Error("taken from under a pod")
	}
	p.Drain("eni-1", false)
	if e := p.Snapshot(now.Add(time.Minute)).ENIs[1]; e.Draining || e.Count(Free) != 18 {
		t.Errorf("cancelled: %+v", e)
	}
	p.Drain("eni-1", true)
	p.Release(attachment("c"), now)
	if _, ok := p.TakeENI("eni-1"); !ok {
		t.Error("an ENI without pods cannot be taken")
	}
}
