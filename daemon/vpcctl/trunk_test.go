package main

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpcchain/vpcchain/pkg/ipamapi"
)

func TestTrunkAsText(t *testing.T) {
	v := viewOf(&ipamapi.PoolReply{Trunk: &ipamapi.PoolTrunk{
		Eni: &ipamapi.ENI{Id: "eni-t", Mac: "02:00:00:00:00:01", Mtu: 9001, Device: 2}, Ready: true, Limit: 9, Waiters: 1,
		Branches: []*ipamapi.PoolBranch{
			{
				Branch: &ipamapi.Branch{Id: "eni-a", VlanId: 1}, Address: "10.0.0.9", State: "in use", Groups: []string{"sg-a", "sg-b"},
				Attachment: &ipamapi.Attachment{Network: "vpc", ContainerId: "c1", Ifname: "eth0"}, Pod: &ipamapi.Pod{Namespace: "ns", Name: "web-0"},
			},
			{Branch: &ipamapi.Branch{Id: "eni-b", VlanId: 4000}, Address: "10.0.0.10", State: "in use", Announced: true, Attachment: &ipamapi.Attachment{ContainerId: "c2"}},
			{Branch: &ipamapi.Branch{VlanId: 3}, State: "creating", Groups: []string{"sg-a"}, Note: "EC2 throttles"},
		},
	}})
	var out bytes.Buffer
	if err := v.Trunk.print(&out); err != nil {
		t.Fatal(err)
	}
	want := `trunk eni-t: 3 of 9 branch ENIs, 1 pods wait
VLAN  BRANCH  ADDRESS    STATE     GROUPS             POD       NOTE
1     eni-a   10.0.0.9   in use    sg-a,sg-b          ns/web-0  
4000  eni-b   10.0.0.10  in use    of the controller  c2        
3                        creating  sg-a                         EC2 throttles
`
	if d := cmp.Diff(want, out.String()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if v.Trunk.Device != 2 || v.Trunk.Branches[0].Network != "vpc" || v.Trunk.Branches[1].VLAN != 4000 {
		t.Errorf("as JSON: %+v", v.Trunk)
	}
	out.Reset()
	none := viewOf(&ipamapi.PoolReply{Trunk: &ipamapi.PoolTrunk{Limit: 9, Note: "the node has no trunk ENI yet"}})
	if err := none.Trunk.print(&out); err != nil || out.String() != "trunk none: 0 of 9 branch ENIs: the node has no trunk ENI yet\n" {
		t.Errorf("%q, %v", out.String(), err)
	}
	out.Reset()
	if err := viewOf(&ipamapi.PoolReply{}).Trunk.print(&out); err != nil || out.Len() > 0 {
		t.Errorf("without branch ENIs: %q, %v", out.String(), err)
	}
}
