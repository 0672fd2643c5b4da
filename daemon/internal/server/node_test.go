package server

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/pkg/ipamapi"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// adminOf is what vpcctl asks.
func adminOf(t *testing.T, r *rig) ipamapi.AdminClient {
	t.Helper()
	conn, err := grpc.NewClient("unix:"+r.socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return ipamapi.NewAdminClient(conn)
}

// Who the node is, what its pool is to have, and why it has no more.
func TestNode(t *testing.T) {
	r := newRig(t, eni.Limits{ENIs: 1, IPv4PerENI: 4, Hypervisor: "nitro", Branches: 9}, 3)
	c := adminOf(t, r)
	node := func() *ipamapi.NodeReply {
		n, err := c.Node(t.Context(), &ipamapi.NodeRequest{})
		must(t, err)
		return n
	}
	eventually(t, "the loop rests", func() bool { return node().GetHold() == "" })
	want := &ipamapi.NodeReply{
		Instance: "i-1", Type: "t3.small", Primary: "10.0.0.10",
		Limits:  &ipamapi.NodeLimits{Enis: 1, Ipv4PerEni: 4, Hypervisor: "nitro", Branches: 9},
		Mode:    &ipamapi.NodeMode{},
		Targets: &ipamapi.NodeTargets{WarmIp: 3},
		Goal:    &ipamapi.NodeGoal{Wanted: 3, Has: 3, Setting: "WARM_IP_TARGET", Text: "3 of WARM_IP_TARGET"},
		Status:  &ipamapi.StatusReply{State: ipamapi.StatusReply_STATE_OK},
	}
	if d := cmp.Diff(want, node(), protocmp.Transform()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	before := time.Now().Unix()
	r.mustAssign(t, "a")
	eventually(t, "it says that the instance is full", func() bool {
		return node().GetHold() == "1 addresses short: t3.small may have no more (or MAX_ENI, or MAX_PODS, or ENIs that no pod may use)"
	})
	if g := node().GetGoal(); g.GetWanted() != 4 || g.GetHas() != 3 || g.GetText() != "1 in use + 3 of WARM_IP_TARGET" {
		t.Errorf("the goal is %v", g)
	}
	p, err := c.Pool(t.Context(), &ipamapi.PoolRequest{})
	must(t, err)
	for _, a := range p.GetEnis()[0].GetAddresses() {
		used := a.GetState() == ipamapi.PoolAddress_STATE_USED
		if used && (a.GetSince() < before || a.GetSince() > time.Now().Unix() || a.GetLink() != vpcnet.HostVethName("eni", "ns", "a", "a", "eth0")) || !used && a.GetSince() != 0 {
			t.Errorf("%v", a)
		}
	}
}

// A daemon without a kernel sees no pods, and releases none.
func TestSweepWithoutKernel(t *testing.T) {
	r := newRig(t, eni.Limits{ENIs: 1, IPv4PerENI: 4}, 3)
	a := r.mustAssign(t, "a")
	_, err := adminOf(t, r).Sweep(t.Context(), &ipamapi.SweepRequest{})
	if status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "-no-host") {
		t.Errorf("%v", err)
	}
	must(t, r.Check(t.Context(), att("a"), a.Addr))
}
