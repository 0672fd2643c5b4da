package ec2_test

import (
	"errors"
	"net/netip"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/smithy-go"

	"github.com/vpcchain/vpcchain/integration/vpcsim/ec2"
	"github.com/vpcchain/vpcchain/integration/vpcsim/network"
	"github.com/vpcchain/vpcchain/integration/vpcsim/topology"
)

func start(t *testing.T, edit func(*topology.Topology)) (*ec2.Sim, *sdk.Client) {
	t.Helper()
	topo := topology.Default()
	if edit != nil {
		edit(&topo)
	}
	sim, err := ec2.New(topo)
	if err != nil {
		t.Fatal(err)
	}
	return sim, sdk.New(sdk.Options{
		Region: "us-west-2", HTTPClient: sim.Client(), BaseEndpoint: aws.String("http://ec2.invalid"),
		Credentials: credentials.NewStaticCredentialsProvider("id", "secret", ""), RetryMaxAttempts: 1,
	})
}

func code(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode()
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

func nodeA(t *testing.T, c *sdk.Client) types.Instance {
	t.Helper()
	out, err := c.DescribeInstances(t.Context(), &sdk.DescribeInstancesInput{
		Filters: []types.Filter{{Name: aws.String("tag:Name"), Values: []string{"node-a"}}},
	})
	if err != nil || len(out.Reservations) != 1 {
		t.Fatalf("DescribeInstances: %v, %v", out, err)
	}
	return out.Reservations[0].Instances[0]
}

func create(t *testing.T, c *sdk.Client, subnet string, n int32) *types.NetworkInterface {
	t.Helper()
	in := &sdk.CreateNetworkInterfaceInput{SubnetId: &subnet, Groups: []string{"sg-nodes"}}
	if n > 0 {
		in.SecondaryPrivateIpAddressCount = &n
	}
	out, err := c.CreateNetworkInterface(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return out.NetworkInterface
}

// The life of an ENI as the daemon lives it, read back through Describe.
func TestLifeOfAnENI(t *testing.T) {
	sim, c := start(t, nil)
	ctx, in := t.Context(), nodeA(t, c)
	e := create(t, c, "subnet-node-a", 3)
	at, err := c.AttachNetworkInterface(ctx, &sdk.AttachNetworkInterfaceInput{
		NetworkInterfaceId: e.NetworkInterfaceId, InstanceId: in.InstanceId, DeviceIndex: aws.Int32(1),
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.ModifyNetworkInterfaceAttribute(ctx, &sdk.ModifyNetworkInterfaceAttributeInput{
		NetworkInterfaceId: e.NetworkInterfaceId,
		Attachment:         &types.NetworkInterfaceAttachmentChanges{AttachmentId: at.AttachmentId, DeleteOnTermination: aws.Bool(true)},
	}); err != nil {
		t.Fatal(err)
	}
	as, err := c.AssignPrivateIpAddresses(ctx, &sdk.AssignPrivateIpAddressesInput{
		NetworkInterfaceId: e.NetworkInterfaceId, SecondaryPrivateIpAddressCount: aws.Int32(2),
	})
	if err != nil || len(as.AssignedPrivateIpAddresses) != 2 {
		t.Fatalf("Assign: %v, %v", as, err)
	}
	if _, err := c.CreateTags(ctx, &sdk.CreateTagsInput{
		Resources: []string{*e.NetworkInterfaceId}, Tags: []types.Tag{{Key: aws.String("k"), Value: aws.String("v")}},
	}); err != nil {
		t.Fatal(err)
	}
	d, err := c.DescribeNetworkInterfaces(ctx, &sdk.DescribeNetworkInterfacesInput{Filters: []types.Filter{
		{Name: aws.String("attachment.instance-id"), Values: []string{*in.InstanceId}}, {Name: aws.String("tag:k"), Values: []string{"v*"}},
	}})
	if err != nil || len(d.NetworkInterfaces) != 1 {
		t.Fatalf("Describe: %v, %v", d, err)
	}
	got := d.NetworkInterfaces[0]
	if n := len(got.PrivateIpAddresses); n != 6 || !*got.PrivateIpAddresses[0].Primary || *got.Attachment.DeviceIndex != 1 ||
		!*got.Attachment.DeleteOnTermination || got.Status != types.NetworkInterfaceStatusInUse || *got.TagSet[0].Value != "v" {
		t.Errorf("described as %+v", got)
	}
	if ports := sim.Network().Ports; len(ports) != 5 || !slices.ContainsFunc(ports, func(p network.Port) bool {
		return p.ENI == *e.NetworkInterfaceId && p.Host == "node-a" && p.Link == "eth1" && len(p.Addresses) == 5
	}) {
		t.Errorf("the fabric's plan has %+v", ports)
	}
	if _, err := c.UnassignPrivateIpAddresses(ctx, &sdk.UnassignPrivateIpAddressesInput{
		NetworkInterfaceId: e.NetworkInterfaceId, PrivateIpAddresses: []string{*as.AssignedPrivateIpAddresses[0].PrivateIpAddress},
	}); err != nil {
		t.Error(err)
	}
	if _, err := c.DeleteNetworkInterface(ctx, &sdk.DeleteNetworkInterfaceInput{NetworkInterfaceId: e.NetworkInterfaceId}); code(err) != "InvalidParameterValue" {
		t.Errorf("deleting an attached ENI: %v", err)
	}
	if _, err := c.DetachNetworkInterface(ctx, &sdk.DetachNetworkInterfaceInput{AttachmentId: at.AttachmentId}); err != nil {
		t.Error(err)
	}
	if _, err := c.DeleteNetworkInterface(ctx, &sdk.DeleteNetworkInterfaceInput{NetworkInterfaceId: e.NetworkInterfaceId}); err != nil {
		t.Error(err)
	}
	if ports := sim.Network().Ports; len(ports) != 4 {
		t.Errorf("the fabric keeps %+v", ports)
	}
}

func TestErrors(t *testing.T) {
	_, c := start(t, func(topo *topology.Topology) {
		topo.Subnets = append(topo.Subnets, topology.Subnet{
			ID: "subnet-tiny", CIDR: netip.MustParsePrefix("10.20.99.0/28"), AZ: "us-west-2a", RouteTable: "rtb-main",
		})
	})
	ctx, in := t.Context(), nodeA(t, c)
	attach := func(id *string, device int32) error {
		_, err := c.AttachNetworkInterface(ctx, &sdk.AttachNetworkInterfaceInput{NetworkInterfaceId: id, InstanceId: in.InstanceId, DeviceIndex: &device})
		return err
	}
	first := create(t, c, "subnet-node-a", 0).NetworkInterfaceId
	if err := attach(first, 1); err != nil {
		t.Fatal(err)
	}
	assign := func(id *string, n int32) error {
		_, err := c.AssignPrivateIpAddresses(ctx, &sdk.AssignPrivateIpAddressesInput{NetworkInterfaceId: id, SecondaryPrivateIpAddressCount: &n})
		return err
	}
	tiny := func(n int32) error {
		_, err := c.CreateNetworkInterface(ctx, &sdk.CreateNetworkInterfaceInput{SubnetId: aws.String("subnet-tiny"), SecondaryPrivateIpAddressCount: &n})
		return err
	}
	describe := func(f string) error {
		_, err := c.DescribeNetworkInterfaces(ctx, &sdk.DescribeNetworkInterfacesInput{Filters: []types.Filter{{Name: &f, Values: []string{"x"}}}})
		return err
	}
	for _, tc := range []struct {
		what, want string
		err        error
	}{
		{"a device index that is taken", "InvalidParameterValue", attach(create(t, c, "subnet-node-a", 0).NetworkInterfaceId, 1)},
		{"an ENI of another AZ", "InvalidParameterValue", attach(create(t, c, "subnet-node-b", 0).NetworkInterfaceId, 2)},
		{"an unknown ENI", "InvalidNetworkInterfaceID.NotFound", attach(aws.String("eni-none"), 2)},
		{"the third ENI of an m5.large", "", attach(create(t, c, "subnet-node-a", 9).NetworkInterfaceId, 2)},
		{"the fourth", "AttachmentLimitExceeded", attach(create(t, c, "subnet-node-a", 0).NetworkInterfaceId, 3)},
		{"nine addresses", "", assign(first, 9)},
		{"the tenth", "PrivateIpAddressLimitExceeded", assign(first, 1)},
		{"more than the subnet has", "InsufficientFreeAddressesInSubnet", tiny(11)},
		{"all that the subnet has", "", tiny(10)},
		{"one more", "InsufficientFreeAddressesInSubnet", tiny(0)},
		{"an unknown filter", "InvalidParameterValue", describe("colour")},
	} {
		if got := code(tc.err); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.what, got, tc.want)
		}
	}
}

func TestClientTokenAndLostReply(t *testing.T) {
	sim, c := start(t, nil)
	in := &sdk.CreateNetworkInterfaceInput{SubnetId: aws.String("subnet-node-a"), ClientToken: aws.String("t1")}
	sim.Fault(ec2.Fault{Action: "CreateNetworkInterface", Lost: true, Count: 1})
	if _, err := c.CreateNetworkInterface(t.Context(), in); err == nil {
		t.Fatal("the reply was not lost")
	}
	out, err := c.CreateNetworkInterface(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	all, err := c.DescribeNetworkInterfaces(t.Context(), &sdk.DescribeNetworkInterfacesInput{
		Filters: []types.Filter{{Name: aws.String("status"), Values: []string{"available"}}},
	})
	if err != nil || len(all.NetworkInterfaces) != 1 || *all.NetworkInterfaces[0].NetworkInterfaceId != *out.NetworkInterface.NetworkInterfaceId {
		t.Errorf("the token did not name one ENI: %v, %v", all, err)
	}
	in.Description = aws.String("other")
	if _, err := c.CreateNetworkInterface(t.Context(), in); code(err) != "IdempotentParameterMismatch" {
		t.Errorf("other parameters under the token: %v", err)
	}
}

func TestFaultsAndCalls(t *testing.T) {
	sim, c := start(t, nil)
	sim.Fault(ec2.Fault{Action: "DescribeVpcs", Code: "RequestLimitExceeded", Count: 2})
	for i, want := range []string{"RequestLimitExceeded", "RequestLimitExceeded", ""} {
		if _, err := c.DescribeVpcs(t.Context(), nil); code(err) != want {
			t.Errorf("call %d: %v, want %q", i, err, want)
		}
	}
	want := []ec2.Call{{"DescribeVpcs", "RequestLimitExceeded", 2}, {"DescribeVpcs", "ok", 1}}
	if got := sim.Calls(); !slices.Equal(got, want) {
		t.Errorf("calls %v, want %v", got, want)
	}
}
