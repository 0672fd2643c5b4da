package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpcchain/vpcchain/pkg/ipamapi"
)

// Addresses in doubt show with the reason, those that are lost too; others not.
func TestDoubtful(t *testing.T) {
	holder := &ipamapi.Attachment{Network: "vpc", ContainerId: "c", Ifname: "eth0"}
	v := viewOf(&ipamapi.PoolReply{
		Lost: []*ipamapi.PoolAddress{{Address: "10.0.0.9", State: ipamapi.PoolAddress_STATE_USED, Attachment: holder, Note: "gone"}},
		Enis: []*ipamapi.PoolENI{{Addresses: []*ipamapi.PoolAddress{
			{Address: "10.0.0.1", State: ipamapi.PoolAddress_STATE_FREE},
			{Address: "10.0.0.2", State: ipamapi.PoolAddress_STATE_WITHHELD, Note: "in use elsewhere"},
		}}},
	})
	want := []string{"10.0.0.9 used by vpc/c/eth0: gone", "10.0.0.2 withheld: in use elsewhere"}
	if d := cmp.Diff(want, v.doubtful()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if n := len(v.Lost); n != 1 {
		t.Errorf("%d lost addresses in the JSON", n)
	}
}
