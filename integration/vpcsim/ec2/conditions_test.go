package ec2_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/vpcchain/vpcchain/integration/vpcsim/ec2"
	"github.com/vpcchain/vpcchain/integration/vpcsim/topology"
)

// inTime runs f with a simulation in virtual time.
func inTime(t *testing.T, edit func(*topology.Topology), f func(*testing.T, *ec2.Sim, *sdk.Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		sim, c := start(t, edit)
		f(t, sim, c)
	})
}

func after(d time.Duration) topology.Duration { return topology.Duration(d) }

// see describes one ENI and returns EC2's error code.
func see(t *testing.T, c *sdk.Client, id *string) (types.NetworkInterface, string) {
	t.Helper()
	out, err := c.DescribeNetworkInterfaces(t.Context(), &sdk.DescribeNetworkInterfacesInput{NetworkInterfaceIds: []string{*id}})
	if err != nil {
		return types.NetworkInterface{}, code(err)
	}
	return out.NetworkInterfaces[0], ""
}

func attach(t *testing.T, c *sdk.Client, id *string, device int32) *string {
	t.Helper()
	out, err := c.AttachNetworkInterface(t.Context(), &sdk.AttachNetworkInterfaceInput{
		NetworkInterfaceId: id, InstanceId: nodeA(t, c).InstanceId, DeviceIndex: &device,
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.AttachmentId
}

func assign(t *testing.T, c *sdk.Client, id *string, addrs, prefixes int32) error {
	t.Helper()
	in := &sdk.AssignPrivateIpAddressesInput{NetworkInterfaceId: id}
	if addrs > 0 {
		in.SecondaryPrivateIpAddressCount = &addrs
	}
	if prefixes > 0 {
		in.Ipv4PrefixCount = &prefixes
	}
	_, err := c.AssignPrivateIpAddresses(t.Context(), in)
	return err
}

// A bucket per API, refilled with time, and one for the whole account.
func TestThrottling(t *testing.T) {
	inTime(t, func(topo *topology.Topology) {
		topo.Throttling = &topology.Throttling{
			Account: &topology.Bucket{Burst: 6, PerSecond: 1}, Actions: map[string]topology.Bucket{"DescribeVpcs": {Burst: 3, PerSecond: 2}},
		}
	}, func(t *testing.T, sim *ec2.Sim, c *sdk.Client) {
		burst := func(call func() error) (served int) {
			for range 10 {
				switch err := call(); code(err) {
				case "":
					served++
				case "RequestLimitExceeded":
				default:
					t.Error(err)
				}
			}
			return served
		}
		vpcs := func() error { _, err := c.DescribeVpcs(t.Context(), nil); return err }
		groups := func() error { _, err := c.DescribeSecurityGroups(t.Context(), nil); return err }
		if a, b := burst(vpcs), burst(groups); a != 3 || b != 3 {
			t.Errorf("served %d of the API's bucket, %d of the account's, want 3 and 3", a, b)
		}
		time.Sleep(2 * time.Second)
		if got := burst(vpcs); got != 2 {
			t.Errorf("served %d after two seconds, want the account's 2", got)
		}
		if err := sim.SetConditions(topology.Conditions{Throttling: &topology.Throttling{}}); err != nil {
			t.Fatal(err)
		}
		n := 0
		for n < 1000 && groups() == nil {
			n++
		}
		if n != 50 {
			t.Errorf("EC2's own bucket for unfiltered lists has %d tokens, want 50", n)
		}
		if err := sim.SetConditions(topology.Conditions{}); err != nil {
			t.Fatal(err)
		}
		if got := burst(groups); got != 10 {
			t.Errorf("served %d of 10 calls without throttling", got)
		}
	})
}

// A new ENI is unknown to every call for a while.
func TestNewENIDelay(t *testing.T) {
	inTime(t, func(topo *topology.Topology) { topo.NewENIDelay = after(2 * time.Second) }, func(t *testing.T, _ *ec2.Sim, c *sdk.Client) {
		id := create(t, c, "subnet-node-a", 1).NetworkInterfaceId
		const unknown = "InvalidNetworkInterfaceID.NotFound"
		_, tagged := c.CreateTags(t.Context(), &sdk.CreateTagsInput{Resources: []string{*id}, Tags: []types.Tag{{Key: aws.String("k"), Value: aws.String("v")}}})
		_, deleted := c.DeleteNetworkInterface(t.Context(), &sdk.DeleteNetworkInterfaceInput{NetworkInterfaceId: id})
		_, described := see(t, c, id)
		for what, got := range map[string]string{"describe": described, "assign": code(assign(t, c, id, 1, 0)), "tag": code(tagged), "delete": code(deleted)} {
			if got != unknown {
				t.Errorf("%s of a new ENI: %q", what, got)
			}
		}
		time.Sleep(2 * time.Second)
		if e, got := see(t, c, id); got != "" || len(e.PrivateIpAddresses) != 2 {
			t.Errorf("two seconds later: %q, %+v", got, e)
		}
	})
}

// Describe shows attachments, addresses and the end of an ENI late; other calls
// act on the truth.
func TestChangeDelay(t *testing.T) {
	inTime(t, nil, func(t *testing.T, sim *ec2.Sim, c *sdk.Client) {
		id := create(t, c, "subnet-node-a", 0).NetworkInterfaceId
		if err := sim.SetConditions(topology.Conditions{ChangeDelay: after(5 * time.Second)}); err != nil {
			t.Fatal(err)
		}
		at := attach(t, c, id, 1)
		time.Sleep(2 * time.Second)
		if err := assign(t, c, id, 3, 0); err != nil {
			t.Fatal(err)
		}
		shows := func(when string, attached bool, addresses int) {
			t.Helper()
			e, got := see(t, c, id)
			if got != "" || (e.Attachment != nil) != attached || len(e.PrivateIpAddresses) != addresses {
				t.Errorf("%s: %q, %+v", when, got, e)
			}
			if n := len(nodeA(t, c).NetworkInterfaces); n != map[bool]int{false: 1, true: 2}[attached] {
				t.Errorf("%s: the instance shows %d ENIs", when, n)
			}
		}
		shows("after 2 s", false, 1)
		time.Sleep(3 * time.Second)
		shows("after 5 s", true, 1)
		time.Sleep(2 * time.Second)
		shows("after 7 s", true, 4)
		if _, err := c.DetachNetworkInterface(t.Context(), &sdk.DetachNetworkInterfaceInput{AttachmentId: at}); err != nil {
			t.Fatal(err)
		}
		if _, err := c.DeleteNetworkInterface(t.Context(), &sdk.DeleteNetworkInterfaceInput{NetworkInterfaceId: id}); err != nil {
			t.Fatal(err)
		}
		shows("just deleted", true, 4)
		if err := assign(t, c, id, 1, 0); code(err) != "InvalidNetworkInterfaceID.NotFound" {
			t.Errorf("assigning to a deleted ENI: %v", err)
		}
		time.Sleep(5 * time.Second)
		if _, got := see(t, c, id); got != "InvalidNetworkInterfaceID.NotFound" {
			t.Errorf("deleted 5 s ago: %q", got)
		}
	})
}

// The instance loses the link at once; EC2 calls the ENI in use until later.
func TestDetachDelay(t *testing.T) {
	inTime(t, func(topo *topology.Topology) { topo.DetachDelay = after(10 * time.Second) }, func(t *testing.T, sim *ec2.Sim, c *sdk.Client) {
		id := create(t, c, "subnet-node-a", 0).NetworkInterfaceId
		at := attach(t, c, id, 1)
		remove := func() string {
			_, err := c.DeleteNetworkInterface(t.Context(), &sdk.DeleteNetworkInterfaceInput{NetworkInterfaceId: id})
			return code(err)
		}
		ports := len(sim.Network().Ports)
		for range 2 {
			if _, err := c.DetachNetworkInterface(t.Context(), &sdk.DetachNetworkInterfaceInput{AttachmentId: at}); err != nil {
				t.Fatal(err)
			}
		}
		if e, _ := see(t, c, id); e.Status != types.NetworkInterfaceStatusInUse || e.Attachment.Status != types.AttachmentStatusDetaching {
			t.Errorf("while detaching: %+v", e)
		}
		if got := len(sim.Network().Ports); got != ports-1 {
			t.Errorf("%d ports, want %d", got, ports-1)
		}
		if got := remove(); got != "InvalidParameterValue" {
			t.Errorf("deleting a detaching ENI: %q", got)
		}
		time.Sleep(10 * time.Second)
		if got := remove(); got != "" {
			t.Errorf("deleting it later: %q", got)
		}
	})
}

// What an operator does from outside.
func TestFromOutside(t *testing.T) {
	sim, c := start(t, nil)
	one, two := create(t, c, "subnet-node-a", 0).NetworkInterfaceId, create(t, c, "subnet-node-a", 2).NetworkInterfaceId
	attach(t, c, one, 1)
	attach(t, c, two, 2)
	if err := sim.Detach(*one); err != nil {
		t.Fatal(err)
	}
	if e, got := see(t, c, one); got != "" || e.Attachment != nil {
		t.Errorf("detached: %q, %+v", got, e)
	}
	if err := sim.Delete(*two); err != nil {
		t.Fatal(err)
	}
	if _, got := see(t, c, two); got != "InvalidNetworkInterfaceID.NotFound" {
		t.Errorf("deleted: %q", got)
	}
	primary := *nodeA(t, c).NetworkInterfaces[0].NetworkInterfaceId
	for what, err := range map[string]error{
		"the primary ENI": sim.Detach(primary), "deleting it": sim.Delete(primary), "a detached ENI": sim.Detach(*one), "a gone ENI": sim.Delete(*two),
	} {
		if err == nil {
			t.Errorf("%s: no error", what)
		}
	}
}

// The effect comes before a slow answer, and does not need the client to wait.
func TestReplyLatency(t *testing.T) {
	inTime(t, nil, func(t *testing.T, sim *ec2.Sim, c *sdk.Client) {
		id := create(t, c, "subnet-node-a", 0).NetworkInterfaceId
		sim.Fault(ec2.Fault{Action: ec2.AnyFault, ReplyLatency: time.Minute, Count: 1})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := c.DeleteNetworkInterface(ctx, &sdk.DeleteNetworkInterfaceInput{NetworkInterfaceId: id})
		if err == nil {
			t.Error("the client did not give up")
		}
		if _, got := see(t, c, id); got != "InvalidNetworkInterfaceID.NotFound" {
			t.Errorf("the call had no effect: %q", got)
		}
	})
}
