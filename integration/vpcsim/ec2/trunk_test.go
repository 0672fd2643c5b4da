package ec2_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
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

// The answer is lost, the call took effect; the token makes the second one the same.
func TestTrunkTokens(t *testing.T) {
	sim, c := start(t, nil)
	in := &sdk.AssociateTrunkInterfaceInput{
		TrunkInterfaceId: trunk(t, c), BranchInterfaceId: branch(t, c, "subnet-pod-a"), VlanId: aws.Int32(1), ClientToken: aws.String("a"),
	}
	sim.Fault(ec2.Fault{Action: "AssociateTrunkInterface", Lost: true, Count: 1})
	if _, err := c.AssociateTrunkInterface(t.Context(), in); err == nil {
		t.Fatal("the reply was not lost")
	}
	out, err := c.AssociateTrunkInterface(t.Context(), in)
	if err != nil || len(associations(t, c, nil)) != 1 || *out.ClientToken != "a" {
		t.Fatalf("the token did not name one association: %v, %v", out, err)
	}
	other := *in
	other.VlanId = aws.Int32(2)
	if _, err := c.AssociateTrunkInterface(t.Context(), &other); code(err) != "IdempotentParameterMismatch" {
		t.Errorf("other parameters under the token: %v", err)
	}
	end := &sdk.DisassociateTrunkInterfaceInput{AssociationId: out.InterfaceAssociation.AssociationId, ClientToken: aws.String("d")}
	for range 2 {
		if got, err := c.DisassociateTrunkInterface(t.Context(), end); err != nil || !*got.Return {
			t.Errorf("disassociating with a token: %v, %v", got, err)
		}
	}
	if _, err := c.AssociateTrunkInterface(t.Context(), in); code(err) != "InvalidAssociationID.NotFound" {
		t.Errorf("the token of an association that has ended: %v", err)
	}
	for _, action := range []string{"AssociateTrunkInterface", "DisassociateTrunkInterface", "DescribeTrunkInterfaceAssociations"} {
		sim.Fault(ec2.Fault{Action: action, Code: "RequestLimitExceeded", Count: 1})
	}
	_, one := associate(t, c, in.TrunkInterfaceId, in.BranchInterfaceId, 1)
	_, two := c.DescribeTrunkInterfaceAssociations(t.Context(), nil)
	for _, err := range []error{one, disassociate(t, c, end.AssociationId), two} {
		if code(err) != "RequestLimitExceeded" {
			t.Errorf("a fault: %v", err)
		}
	}
}

// Associations come and go late in Describe*, as ENIs do; calls act on the truth.
func TestAssociationsShowLate(t *testing.T) {
	inTime(t, nil, func(t *testing.T, sim *ec2.Sim, c *sdk.Client) {
		top, br := trunk(t, c), branch(t, c, "subnet-pod-a")
		if err := sim.SetConditions(topology.Conditions{ChangeDelay: after(3 * time.Second)}); err != nil {
			t.Fatal(err)
		}
		shows := func(when string, want int, status types.NetworkInterfaceStatus) {
			t.Helper()
			if e, _ := see(t, c, br); e.Status != status || len(associations(t, c, nil)) != want {
				t.Errorf("%s: %s and %d associations, want %s and %d", when, e.Status, len(associations(t, c, nil)), status, want)
			}
		}
		a, err := associate(t, c, top, br, 1)
		if err != nil {
			t.Fatal(err)
		}
		shows("just associated", 0, types.NetworkInterfaceStatusAvailable)
		if _, err := associate(t, c, top, branch(t, c, "subnet-pod-a"), 1); code(err) != "InvalidVlanId.Duplicate" {
			t.Errorf("the VLAN id of an association that shows late: %v", err)
		}
		time.Sleep(3 * time.Second)
		shows("later", 1, types.NetworkInterfaceStatusInUse)
		if err := disassociate(t, c, a.AssociationId); err != nil {
			t.Fatal(err)
		}
		shows("just disassociated", 1, types.NetworkInterfaceStatusInUse)
		if err := disassociate(t, c, a.AssociationId); code(err) != "InvalidAssociationID.NotFound" {
			t.Errorf("disassociating twice: %v", err)
		}
		time.Sleep(3 * time.Second)
		shows("at last", 0, types.NetworkInterfaceStatusAvailable)
	})
}

// What goes takes its associations with it, as in EC2: a branch or its trunk
// that is deleted; a trunk that is only detached keeps them.
func TestTrunkGoes(t *testing.T) {
	sim, c := start(t, nil)
	top, one, two, three := trunk(t, c), branch(t, c, "subnet-pod-a"), branch(t, c, "subnet-pod-a"), branch(t, c, "subnet-pod-a")
	for i, b := range []*string{one, two, three} {
		if _, err := associate(t, c, top, b, int32(i+1)); err != nil {
			t.Fatal(err)
		}
	}
	counts := func(when string, describe, ports int) {
		t.Helper()
		n := 0
		for _, p := range sim.Network().Ports {
			if p.VLAN != 0 {
				n++
			}
		}
		if got := len(associations(t, c, nil)); got != describe || n != ports {
			t.Errorf("%s: %d associations and %d VLANs in the plan, want %d and %d", when, got, n, describe, ports)
		}
	}
	if _, err := c.DeleteNetworkInterface(t.Context(), &sdk.DeleteNetworkInterfaceInput{NetworkInterfaceId: one}); err != nil {
		t.Errorf("deleting an associated branch: %v", err)
	}
	counts("a branch deleted", 2, 2)
	if err := sim.Detach(*three); err != nil {
		t.Error(err)
	}
	counts("a branch taken off from outside", 1, 1)
	e, _ := see(t, c, top)
	if _, err := c.DetachNetworkInterface(t.Context(), &sdk.DetachNetworkInterfaceInput{AttachmentId: e.Attachment.AttachmentId}); err != nil {
		t.Fatal(err)
	}
	counts("the trunk detached", 1, 0)
	attach(t, c, top, 1)
	counts("the trunk attached again", 1, 1)
	if err := sim.Delete(*top); err != nil {
		t.Fatal(err)
	}
	counts("the trunk deleted", 0, 0)
	for _, i := range sim.Interfaces() {
		if i.ID == *two && (i.Kind != "branch" || i.Host != "" || i.VLAN != 0 || i.Trunk != "" || i.Subnet != "subnet-pod-a") {
			t.Errorf("the branch that is left: %+v", i)
		}
	}
}

// IMDS shows the trunk as any ENI, and nothing of its branches.
func TestTrunkInIMDS(t *testing.T) {
	sim, c := start(t, nil)
	top := trunk(t, c)
	if _, err := associate(t, c, top, branch(t, c, "subnet-pod-a"), 1); err != nil {
		t.Fatal(err)
	}
	h := sim.IMDS(func(*http.Request) (string, bool) { return "node-a", true })
	m := imds.New(imds.Options{HTTPClient: ec2.NewDirectClient(h), Endpoint: "http://imds.invalid"})
	get := func(path string) string {
		t.Helper()
		out, err := m.GetMetadata(t.Context(), &imds.GetMetadataInput{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 4096)
		n, _ := out.Content.Read(b)
		return string(b[:n])
	}
	e, _ := see(t, c, top)
	macs := strings.Fields(get("network/interfaces/macs/"))
	if len(macs) != 2 || !slices.Contains(macs, *e.MacAddress+"/") {
		t.Errorf("macs %v, want the instance's own and the trunk's %s", macs, *e.MacAddress)
	}
	if got := get("network/interfaces/macs/" + *e.MacAddress + "/local-ipv4s"); got != *e.PrivateIpAddress {
		t.Errorf("the trunk's addresses %q, want %s", got, *e.PrivateIpAddress)
	}
}
