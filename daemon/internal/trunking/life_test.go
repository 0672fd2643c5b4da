package trunking_test

import (
	"net/netip"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/branch"
	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/daemon/internal/trunking"
	"github.com/vpcchain/vpcchain/integration/vpcsim/ec2"
	"github.com/vpcchain/vpcchain/pkg/nodefacts"
	"github.com/vpcchain/vpcchain/pkg/sgpp"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// The life of a branch: made on a trunk that is made for it, kept for the next
// pod with its groups, deleted when nobody comes; nothing is asked of EC2 meanwhile.
func TestLifeOfABranch(t *testing.T) {
	inVPC(t, "m5.large", nil, func(w *world) {
		w.slow()
		l := w.start()
		pass(10 * time.Second)
		if n := len(w.trunks()); n != 0 {
			t.Errorf("%d trunks that nobody asked for", n)
		}
		got := l.mustAdd("a", "sg-b, sg-a")
		e := w.branches()[got.ENI]
		if e.VLAN != 1 || got.VLAN != 1 || e.Trunk != got.Carrier.ID || !slices.Equal(e.Groups, []string{"sg-a", "sg-b"}) || e.Primary != got.Addr ||
			e.MAC != got.MAC || got.MTU != 9001 || got.Subnet.String() != "10.20.0.0/20" || got.Carrier.Device != 2 {
			t.Errorf("given %+v, in EC2 %+v", got, e)
		}
		for key, want := range map[string]string{
			branch.TagVLAN: "1", branch.TagTrunk: got.Carrier.ID, eni.TagInstance: "i-0123",
		} {
			if e.Tags[key] != want {
				t.Errorf("tag %s is %q", key, e.Tags[key])
			}
		}
		if again := l.mustAdd("a", "sg-a,sg-b"); again.ENI != got.ENI {
			t.Errorf("the second ADD got %s", again.ENI)
		}
		if err := l.Check(att("a"), got.Addr.String()); err != nil {
			t.Error(err)
		}
		facts, err := nodefacts.Read(filepath.Join(l.dir, "node.json"))
		if err != nil || facts.EnforcingMode != nodefacts.ModeStrict || facts.Trunk == nil || facts.Trunk.ENI != got.Carrier.ID || facts.Trunk.MAC != got.Carrier.MAC {
			t.Errorf("node facts %+v, %v", facts, err)
		}
		pass(10 * time.Second) // the spare one is made
		if n := len(w.branches()); n != 2 {
			t.Errorf("%d branches, want the pod's and a warm one", n)
		}

		w.sim.ResetCalls()
		start := time.Now()
		l.mustAdd("b", "sg-a,sg-b")
		if took := time.Since(start); took > 0 {
			t.Errorf("an ADD with a warm branch took %v", took)
		}
		pass(10 * time.Second)
		w.sim.ResetCalls()
		pass(time.Hour)
		if n := w.calls(); n != 0 {
			t.Errorf("%d calls in a steady hour: %v", n, w.sim.Calls())
		}

		// Released, it rests, and then goes to the next pod before a new one is made.
		l.del("a")
		l.del("a")
		pass(59 * time.Second)
		third := l.mustAdd("c", "sg-a,sg-b")
		if third.ENI == got.ENI {
			t.Error("a branch was reused within its rest")
		}
		pass(2 * time.Second)
		if fourth := l.mustAdd("d", "sg-b,sg-a"); fourth.ENI != got.ENI {
			t.Errorf("after its rest %s was not reused: %s", got.ENI, fourth.ENI)
		}
		for _, id := range []string{"b", "c", "d"} {
			l.del(id)
		}
		pass(30 * time.Minute)
		if left := w.branches(); len(left) != 0 {
			t.Errorf("left in EC2: %v", left)
		}
		if len(w.trunks()) != 1 {
			t.Error("the trunk is gone")
		}
	})
}

// The kernel is to have the branches that pods have, and no others.
func TestKernelIsHealed(t *testing.T) {
	inVPC(t, "m5.large", map[string]string{"POD_SECURITY_GROUP_ENFORCING_MODE": "standard"}, func(w *world) {
		l := w.start()
		a, b := l.mustAdd("a", "sg-a"), l.mustAdd("b", "sg-b")
		l.del("b")
		pass(time.Minute)
		w.kill()
		w.want = nil
		w.start()
		pass(time.Minute)
		want := []sgpp.Branch{{
			Attachment: att("a"), VLAN: a.VLAN, MAC: a.MAC, Addr: a.Addr, Gateway: netip.MustParseAddr("10.20.0.1"),
			HostVeth: vpcnet.HostVethName("eni", "ns", "a", "a", "eth0"), Mode: nodefacts.ModeStandard,
		}}
		if !slices.Equal(w.want, want) || w.node.TrunkMAC != a.Carrier.MAC || w.node.NodeIP.String() != "10.20.0.10" || b.VLAN == a.VLAN {
			t.Errorf("the kernel was asked for %+v on %+v, want %+v", w.want, w.node, want)
		}
	})
}

// Other groups need another branch; a set of groups has no order.
func TestGroupsAreASet(t *testing.T) {
	inVPC(t, "m5.large", map[string]string{"ENABLE_POD_ENI": "true", "WARM_IP_TARGET": "1", "WARM_BRANCH_ENI_TARGET": "0"}, func(w *world) {
		l := w.start()
		a, b := l.mustAdd("a", "sg-a"), l.mustAdd("b", "sg-a,sg-b")
		if a.ENI == b.ENI || a.VLAN == b.VLAN {
			t.Errorf("%s and %s", a.ENI, b.ENI)
		}
		l.del("b")
		pass(2 * time.Minute)
		if c := l.mustAdd("c", "sg-b,sg-a,sg-b"); c.ENI != b.ENI {
			t.Errorf("%s was not reused for the same set: %s", b.ENI, c.ENI)
		}
		if n := len(w.branches()); n != 2 {
			t.Errorf("%d branches with no stock", n)
		}
	})
}

func wantErr(t *testing.T, err, is error, texts ...string) {
	t.Helper()
	if err == nil || !errorsIs(err, is) {
		t.Errorf("error %v, want %v", err, is)
		return
	}
	for _, s := range texts {
		if !contains(err.Error(), s) {
			t.Errorf("error %q does not say %q", err, s)
		}
	}
}

// What EC2 refuses for good is told at once, and not asked again at once.
func TestRefusedGroups(t *testing.T) {
	inVPC(t, "m5.large", nil, func(w *world) {
		l := w.start()
		l.mustAdd("a", "sg-a")
		pass(10 * time.Second)
		w.sim.ResetCalls()
		start := time.Now()
		for range 3 {
			_, err := l.add("b", "sg-none", 20*time.Second)
			wantErr(t, err, eni.ErrBadGroups, "ns/b", "sg-none", "InvalidGroup")
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("three refusals took %v", took)
		}
		if n := w.calls(); n != 1 {
			t.Errorf("%d calls for three refusals: %v", n, w.sim.Calls())
		}
		_, err := l.add("c", "sg-1,sg-2,sg-3,sg-4,sg-5,sg-6", time.Second)
		wantErr(t, err, branch.ErrBadWish, "ns/c", "6 security groups", "5")
		_, err = l.add("a", "sg-b", time.Second)
		wantErr(t, err, branch.ErrBadWish, "ns/a", "DEL it first")
		if _, err = l.Assign(t.Context(), att("a"), podOf("a")); err == nil {
			t.Error("an attachment with a branch got an address of the pool")
		}
		if n := len(w.branches()); n != 2 {
			t.Errorf("%d branches", n)
		}
	})
}

// A pod waits for what may come, and hears why it did not.
func TestWhyThereIsNoBranch(t *testing.T) {
	inVPC(t, "m5.large", nil, func(w *world) {
		l := w.start()
		for action, code := range map[string]string{"CreateNetworkInterface": "RequestLimitExceeded", "AttachNetworkInterface": "UnauthorizedOperation"} {
			w.sim.Fault(ec2.Fault{Action: action, Code: code})
			_, err := l.add("a", "sg-a", time.Minute)
			wantErr(t, err, trunking.ErrNoBranch, "ns/a", "trunk", code)
			w.sim.Fault(ec2.Fault{Action: action})
		}
		pass(5 * time.Minute)
		l.mustAdd("a", "sg-a")
		for _, tc := range []struct{ action, code, groups string }{
			{"CreateNetworkInterface", "InsufficientFreeAddressesInSubnet", "sg-b"},
			{"AssociateTrunkInterface", "UnauthorizedOperation", "sg-c"},
			{"CreateNetworkInterface", "RequestLimitExceeded", "sg-nodes"},
		} {
			w.sim.Fault(ec2.Fault{Action: tc.action, Code: tc.code})
			_, err := l.add("b", tc.groups, time.Minute)
			wantErr(t, err, trunking.ErrNoBranch, "ns/b", tc.code, "branch ENIs")
			w.sim.Fault(ec2.Fault{Action: tc.action})
			pass(5 * time.Minute)
			l.mustAdd("b", tc.groups)
			l.del("b")
		}
	})
	inVPC(t, "t3.medium", nil, func(w *world) {
		_, err := w.start().add("a", "sg-a", 10*time.Second)
		wantErr(t, err, trunking.ErrNoBranch, "ns/a", "carries no trunk")
	})
	inVPC(t, "m5.large", map[string]string{"ENABLE_POD_ENI": "false"}, func(w *world) {
		_, err := w.start().add("a", "sg-a", 10*time.Second)
		wantErr(t, err, branch.ErrBadWish, "ns/a", "ENABLE_POD_ENI")
	})
}
