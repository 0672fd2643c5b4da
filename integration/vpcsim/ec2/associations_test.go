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

	"github.com/vpcchain/vpcchain/integration/vpcsim/ec2"
	"github.com/vpcchain/vpcchain/integration/vpcsim/topology"
)

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
