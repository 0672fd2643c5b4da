package cloud

import (
	"errors"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/integration/vpcsim/ec2"
)

func branchSpec(token string, groups ...string) eni.CreateSpec {
	return eni.CreateSpec{SubnetID: "subnet-a", Groups: groups, ClientToken: token, Type: eni.TypeBranch, Tags: map[string]string{eni.TagInstance: "i-0123"}}
}

// A trunk with a branch, by the calls that the daemon makes, each repeated as
// after a lost answer.
func TestBranchCalls(t *testing.T) {
	onNodeA(t, Options{}, func(n node) {
		ctx, c := n.t.Context(), n.c
		trunk, err := c.Create(ctx, eni.CreateSpec{SubnetID: "subnet-a", ClientToken: "trunk", Type: eni.TypeTrunk})
		if err != nil || trunk.Type != eni.TypeTrunk || !trunk.IsTrunk() {
			t.Fatalf("%+v, %v", trunk, err)
		}
		if _, err := c.Attach(ctx, trunk.ID, 0, 2); err != nil {
			t.Fatal(err)
		}
		spec := branchSpec("one", "sg-pods")
		made, err := c.Create(ctx, spec)
		if err != nil || made.Type != eni.TypeBranch || made.Subnet.String() != "10.20.11.0/24" {
			t.Fatalf("%+v, %v", made, err)
		}
		if again, err := c.Create(ctx, spec); err != nil || again.ID != made.ID {
			t.Errorf("again: %+v, %v", again, err)
		}
		want := eni.Association{Trunk: trunk.ID, Branch: made.ID, VLAN: 7}
		for range 2 {
			id, err := c.Associate(ctx, want, "token")
			if err != nil || want.ID != "" && id != want.ID {
				t.Fatalf("%q after %q, %v", id, want.ID, err)
			}
			want.ID = id
		}
		enis, associations, err := c.Branches(ctx)
		if err != nil || len(enis) != 1 || enis[0].ID != made.ID || len(associations) != 1 || associations[0] != want {
			t.Errorf("described %+v, %+v, %v", enis, associations, err)
		}
		if err := c.DeleteBranch(ctx, trunk.ID); !errors.Is(err, eni.ErrInUse) {
			t.Errorf("deleting what is attached: %v", err)
		}
		for range 2 {
			if err := c.Disassociate(ctx, want.ID); err != nil {
				t.Error(err)
			}
		}
		for range 2 {
			if err := c.DeleteBranch(ctx, made.ID); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestBranchRefusals(t *testing.T) {
	onNodeA(t, Options{}, func(n node) {
		ctx, c := n.t.Context(), n.c
		for i, groups := range [][]string{{"sg-none"}, {"sg-1", "sg-2", "sg-3", "sg-4", "sg-5", "sg-6"}} {
			_, err := c.Create(ctx, branchSpec(string(rune('a'+i)), groups...))
			if !errors.Is(err, eni.ErrBadGroups) {
				t.Errorf("%v: %v", groups, err)
			}
		}
		_, err := c.Associate(ctx, eni.Association{Trunk: "eni-0", Branch: "eni-1", VLAN: 1}, "x")
		if !errors.Is(err, eni.ErrNotFound) {
			t.Errorf("associating what is not there: %v", err)
		}
		for _, action := range []string{"AssociateTrunkInterface", "DisassociateTrunkInterface", "DeleteNetworkInterface", "DescribeTrunkInterfaceAssociations"} {
			n.sim.Fault(ec2.Fault{Action: action, Code: "UnauthorizedOperation"})
		}
		_, err = c.Associate(ctx, eni.Association{Trunk: "eni-0", Branch: "eni-1", VLAN: 1}, "y")
		_, _, derr := c.Branches(ctx)
		for _, err := range []error{err, derr, c.Disassociate(ctx, "trunk-assoc-1"), c.DeleteBranch(ctx, "eni-1")} {
			if !errors.Is(err, eni.ErrUnauthorized) {
				t.Errorf("refused by IAM: %v", err)
			}
		}
	})
}

// A repeated association is not a second one, even when the first answer was lost.
func TestAssociateAnswerLost(t *testing.T) {
	onNodeA(t, Options{}, func(n node) {
		ctx, c := n.t.Context(), n.c
		trunk, err := c.Create(ctx, eni.CreateSpec{SubnetID: "subnet-a", Type: eni.TypeTrunk})
		if err == nil {
			_, err = c.Attach(ctx, trunk.ID, 0, 2)
		}
		made, cerr := c.Create(ctx, branchSpec("one", "sg-pods"))
		if err = errors.Join(err, cerr); err != nil {
			t.Fatal(err)
		}
		n.sim.Fault(ec2.Fault{Action: "AssociateTrunkInterface", Lost: true, Count: 1, Latency: time.Second})
		id, err := c.Associate(ctx, eni.Association{Trunk: trunk.ID, Branch: made.ID, VLAN: 7}, "token")
		if _, all, _ := c.Branches(ctx); err != nil || len(all) != 1 || all[0].ID != id {
			t.Errorf("%q, %v; described %v", id, err, all)
		}
	})
}
