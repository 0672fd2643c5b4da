package ec2_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/vpcchain/vpcchain/integration/vpcsim/ec2"
	"github.com/vpcchain/vpcchain/integration/vpcsim/network"
	"github.com/vpcchain/vpcchain/integration/vpcsim/topology"
)

// kind creates an ENI of a type.
func kind(t *testing.T, c *sdk.Client, subnet string, k types.NetworkInterfaceCreationType) *types.NetworkInterface {
	t.Helper()
	out, err := c.CreateNetworkInterface(t.Context(), &sdk.CreateNetworkInterfaceInput{SubnetId: &subnet, InterfaceType: k})
	if err != nil {
		t.Fatal(err)
	}
	return out.NetworkInterface
}

// trunk is a trunk attached to node-a as its eth1.
func trunk(t *testing.T, c *sdk.Client) *string {
	t.Helper()
	id := kind(t, c, "subnet-node-a", types.NetworkInterfaceCreationTypeTrunk).NetworkInterfaceId
	attach(t, c, id, 1)
	return id
}

func branch(t *testing.T, c *sdk.Client, subnet string) *string {
	t.Helper()
	return kind(t, c, subnet, types.NetworkInterfaceCreationTypeBranch).NetworkInterfaceId
}

func associate(t *testing.T, c *sdk.Client, trunk, branch *string, vlan int32) (*types.TrunkInterfaceAssociation, error) {
	t.Helper()
	out, err := c.AssociateTrunkInterface(t.Context(), &sdk.AssociateTrunkInterfaceInput{TrunkInterfaceId: trunk, BranchInterfaceId: branch, VlanId: &vlan})
	if err != nil {
		return nil, err
	}
	return out.InterfaceAssociation, nil
}

func disassociate(t *testing.T, c *sdk.Client, id *string) error {
	t.Helper()
	_, err := c.DisassociateTrunkInterface(t.Context(), &sdk.DisassociateTrunkInterfaceInput{AssociationId: id})
	return err
}

func associations(t *testing.T, c *sdk.Client, in *sdk.DescribeTrunkInterfaceAssociationsInput) []types.TrunkInterfaceAssociation {
	t.Helper()
	var all []types.TrunkInterfaceAssociation
	for p := sdk.NewDescribeTrunkInterfaceAssociationsPaginator(c, in); p.HasMorePages(); {
		out, err := p.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, out.InterfaceAssociations...)
	}
	return all
}

// port is the fabric's plan for the ENI; its zero value: it has none.
func port(sim *ec2.Sim, id *string) network.Port {
	for _, p := range sim.Network().Ports {
		if p.ENI == *id {
			return p
		}
	}
	return network.Port{}
}

func TestLifeOfABranch(t *testing.T) {
	sim, c := start(t, nil)
	top := trunk(t, c)
	made := kind(t, c, "subnet-pod-a", types.NetworkInterfaceCreationTypeBranch)
	if made.InterfaceType != types.NetworkInterfaceTypeBranch || made.Status != types.NetworkInterfaceStatusAvailable {
		t.Errorf("created %+v", made)
	}
	a, err := associate(t, c, top, made.NetworkInterfaceId, 5)
	if err != nil {
		t.Fatal(err)
	}
	want := types.TrunkInterfaceAssociation{
		AssociationId: a.AssociationId, BranchInterfaceId: made.NetworkInterfaceId, TrunkInterfaceId: top,
		InterfaceProtocol: types.InterfaceProtocolTypeVlan, VlanId: aws.Int32(5),
	}
	ignore := cmpopts.IgnoreUnexported(types.TrunkInterfaceAssociation{})
	if diff := cmp.Diff(want, *a, ignore); diff != "" || !strings.HasPrefix(*a.AssociationId, "trunk-assoc-0") {
		t.Errorf("associated (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]types.TrunkInterfaceAssociation{want}, associations(t, c, nil), ignore); diff != "" {
		t.Errorf("described (-want +got):\n%s", diff)
	}
	// As EC2 shows them: the trunk has an attachment, the branch none though it is in use.
	if e, _ := see(t, c, made.NetworkInterfaceId); e.Status != types.NetworkInterfaceStatusInUse || e.Attachment != nil {
		t.Errorf("the branch: %+v", e)
	}
	if e, _ := see(t, c, top); e.InterfaceType != types.NetworkInterfaceTypeTrunk || e.Attachment == nil {
		t.Errorf("the trunk: %+v", e)
	}
	if n := len(nodeA(t, c).NetworkInterfaces); n != 2 {
		t.Errorf("the instance shows %d ENIs, want its own and the trunk", n)
	}
	if _, err := c.ModifyNetworkInterfaceAttribute(t.Context(), &sdk.ModifyNetworkInterfaceAttributeInput{
		NetworkInterfaceId: made.NetworkInterfaceId, Groups: []string{"sg-nodes"},
	}); err != nil {
		t.Error(err)
	}
	if p := port(sim, made.NetworkInterfaceId); p.Host != "node-a" || p.Link != "eth1" || p.VLAN != 5 || p.Trunk != *top ||
		p.Association != *a.AssociationId || p.Subnet != "subnet-pod-a" || !slices.Equal(p.Groups, []string{"sg-nodes"}) {
		t.Errorf("the fabric's plan: %+v", p)
	}
	if err := disassociate(t, c, a.AssociationId); err != nil {
		t.Fatal(err)
	}
	if e, _ := see(t, c, made.NetworkInterfaceId); e.Status != types.NetworkInterfaceStatusAvailable || len(associations(t, c, nil)) != 0 {
		t.Errorf("disassociated: %+v", e)
	}
	if p := port(sim, made.NetworkInterfaceId); p.ENI != "" {
		t.Errorf("the fabric keeps %+v", p)
	}
	if err := disassociate(t, c, a.AssociationId); code(err) != "InvalidAssociationID.NotFound" {
		t.Errorf("disassociating twice: %v", err)
	}
	if _, err := associate(t, c, top, made.NetworkInterfaceId, 5); err != nil {
		t.Errorf("the id and the branch used again: %v", err)
	}
}

func TestTrunkErrors(t *testing.T) {
	_, c := start(t, func(topo *topology.Topology) { topo.Instances[1].Type = "t3.medium" })
	ctx, top := t.Context(), trunk(t, c)
	taken := branch(t, c, "subnet-pod-a")
	if _, err := associate(t, c, top, taken, 7); err != nil {
		t.Fatal(err)
	}
	try := func(trunk, branch *string, vlan int32) error {
		_, err := associate(t, c, trunk, branch, vlan)
		return err
	}
	nodes, err := c.DescribeInstances(ctx, &sdk.DescribeInstancesInput{Filters: []types.Filter{{Name: aws.String("tag:Name"), Values: []string{"node-b"}}}})
	if err != nil {
		t.Fatal(err)
	}
	put := func(id, instance *string, device int32) error {
		_, err := c.AttachNetworkInterface(ctx, &sdk.AttachNetworkInterfaceInput{NetworkInterfaceId: id, InstanceId: instance, DeviceIndex: &device})
		return err
	}
	free, plain := branch(t, c, "subnet-pod-a"), create(t, c, "subnet-node-a", 0).NetworkInterfaceId
	attached := create(t, c, "subnet-node-a", 0).NetworkInterfaceId
	attach(t, c, attached, 2)
	second := kind(t, c, "subnet-node-a", types.NetworkInterfaceCreationTypeTrunk).NetworkInterfaceId
	other := kind(t, c, "subnet-node-b", types.NetworkInterfaceCreationTypeTrunk).NetworkInterfaceId
	nodeB := nodes.Reservations[0].Instances[0].InstanceId
	_, efa := c.CreateNetworkInterface(ctx, &sdk.CreateNetworkInterfaceInput{SubnetId: aws.String("subnet-node-a"), InterfaceType: types.NetworkInterfaceCreationTypeEfa})
	_, gre := c.AssociateTrunkInterface(ctx, &sdk.AssociateTrunkInterfaceInput{TrunkInterfaceId: top, BranchInterfaceId: free, GreKey: aws.Int32(1)})
	_, untagged := c.AssociateTrunkInterface(ctx, &sdk.AssociateTrunkInterfaceInput{TrunkInterfaceId: top, BranchInterfaceId: free})
	_, filter := c.DescribeTrunkInterfaceAssociations(ctx, &sdk.DescribeTrunkInterfaceAssociationsInput{
		Filters: []types.Filter{{Name: aws.String("trunk-interface-id"), Values: []string{*top}}},
	})
	_, unknown := c.DescribeTrunkInterfaceAssociations(ctx, &sdk.DescribeTrunkInterfaceAssociationsInput{AssociationIds: []string{"trunk-assoc-1"}})
	_, large := c.DescribeTrunkInterfaceAssociations(ctx, &sdk.DescribeTrunkInterfaceAssociationsInput{MaxResults: aws.Int32(256)})
	_, groups := c.ModifyNetworkInterfaceAttribute(ctx, &sdk.ModifyNetworkInterfaceAttributeInput{NetworkInterfaceId: taken, Groups: slices.Repeat([]string{"sg-nodes"}, 6)})
	for _, tc := range []struct {
		what, want string
		err        error
	}{
		{"an ENI of an unknown type", "InvalidParameterValue", efa},
		{"a trunk on a type without trunking", "UnsupportedOperation", put(other, nodeB, 1)},
		{"a second trunk", "AttachmentLimitExceeded", put(second, nodeA(t, c).InstanceId, 3)},
		{"attaching a branch", "InvalidParameterValue", put(free, nodeA(t, c).InstanceId, 3)},
		{"GRE", "UnsupportedOperation", gre},
		{"no VLAN id", "MissingParameter", untagged},
		{"VLAN id 0", "InvalidParameterValue", try(top, free, 0)},
		{"VLAN id 4095", "InvalidParameterValue", try(top, free, 4095)},
		{"a VLAN id in use", "InvalidVlanId.Duplicate", try(top, free, 7)},
		{"a branch in use", "InvalidParameterValue", try(top, taken, 8)},
		{"an ENI that is attached", "InvalidParameterValue", try(top, attached, 8)},
		{"a trunk as a branch", "InvalidParameterValue", try(top, second, 8)},
		{"a trunk that is none", "InvalidParameterValue", try(plain, free, 8)},
		{"a trunk that is not attached", "IncorrectState", try(second, free, 8)},
		{"a branch of another AZ", "InvalidParameterValue", try(top, branch(t, c, "subnet-pod-b"), 8)},
		{"an unknown trunk", "InvalidNetworkInterfaceID.NotFound", try(aws.String("eni-none"), free, 8)},
		{"an unknown branch", "InvalidNetworkInterfaceID.NotFound", try(top, aws.String("eni-none"), 8)},
		{"an unknown association", "InvalidAssociationID.NotFound", disassociate(t, c, aws.String("trunk-assoc-1"))},
		{"describing it", "InvalidAssociationID.NotFound", unknown},
		{"a filter that EC2 does not have", "InvalidParameterValue", filter},
		{"a page larger than EC2's", "InvalidParameterValue", large},
		{"too many groups", "SecurityGroupsPerInterfaceLimitExceeded", groups},
		{"the last VLAN id, and an ordinary ENI", "", try(top, plain, 4094)},
	} {
		if got := code(tc.err); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.what, got, tc.want)
		}
	}
	if e, _ := see(t, c, plain); e.InterfaceType != types.NetworkInterfaceTypeBranch {
		t.Errorf("an ordinary ENI that is associated: %s, want a branch", e.InterfaceType)
	}
}

// An m5.large has 9 branches; pages of 5 list them all.
func TestBranchLimit(t *testing.T) {
	_, c := start(t, nil)
	top := trunk(t, c)
	var last *types.TrunkInterfaceAssociation
	for vlan := range int32(9) {
		var err error
		if last, err = associate(t, c, top, branch(t, c, "subnet-pod-a"), vlan+1); err != nil {
			t.Fatal(err)
		}
	}
	tenth := branch(t, c, "subnet-pod-a")
	if _, err := associate(t, c, top, tenth, 10); code(err) != "ResourceLimitExceeded" {
		t.Errorf("the tenth branch: %v", err)
	}
	vlan := types.Filter{Name: aws.String("interface-protocol"), Values: []string{"VLAN"}}
	got := associations(t, c, &sdk.DescribeTrunkInterfaceAssociationsInput{MaxResults: aws.Int32(5), Filters: []types.Filter{vlan}})
	ids := map[int32]bool{}
	for _, a := range got {
		ids[*a.VlanId] = true
	}
	if len(got) != 9 || len(ids) != 9 {
		t.Errorf("%d associations on pages of 5, %d VLAN ids", len(got), len(ids))
	}
	vlan.Values = []string{"GRE"}
	if got := associations(t, c, &sdk.DescribeTrunkInterfaceAssociationsInput{Filters: []types.Filter{vlan}}); len(got) != 0 {
		t.Errorf("GRE: %+v", got)
	}
	if err := disassociate(t, c, last.AssociationId); err != nil {
		t.Fatal(err)
	}
	if _, err := associate(t, c, top, tenth, 10); err != nil {
		t.Errorf("the tenth branch in place of the ninth: %v", err)
	}
}
