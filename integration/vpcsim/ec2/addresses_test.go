package ec2_test

import (
	"net/netip"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/vpcchain/vpcchain/integration/vpcsim/topology"
)

// Few scattered addresses use up the free /28 blocks of a subnet that has plenty
// of addresses; giving them back makes blocks again.
func TestFragmentation(t *testing.T) {
	_, c := start(t, func(topo *topology.Topology) {
		topo.Subnets = append(topo.Subnets, topology.Subnet{
			ID: "subnet-small", CIDR: netip.MustParsePrefix("10.20.99.0/25"), AZ: "us-west-2a", RouteTable: "rtb-main", Scatter: true,
		})
	})
	e := create(t, c, "subnet-small", 7)
	if err := assign(t, c, e.NetworkInterfaceId, 0, 1); code(err) != "InsufficientCidrBlocks" {
		t.Errorf("8 scattered addresses in 8 blocks leave a block: %v", err)
	}
	var addrs []string
	for _, a := range e.PrivateIpAddresses[1:] {
		addrs = append(addrs, *a.PrivateIpAddress)
	}
	if _, err := c.UnassignPrivateIpAddresses(t.Context(), &sdk.UnassignPrivateIpAddressesInput{NetworkInterfaceId: e.NetworkInterfaceId, PrivateIpAddresses: addrs}); err != nil {
		t.Fatal(err)
	}
	// The first and the last block have reserved addresses, one has the ENI's own.
	if err := assign(t, c, e.NetworkInterfaceId, 0, 6); code(err) != "InsufficientCidrBlocks" {
		t.Errorf("6 of 8 blocks: %v", err)
	}
	if err := assign(t, c, e.NetworkInterfaceId, 0, 5); err != nil {
		t.Errorf("5 of 8 blocks: %v", err)
	}
}

func TestQuotas(t *testing.T) {
	_, c := start(t, func(topo *topology.Topology) { topo.ENIQuota, topo.Instances[1].Type = 5, "t2.medium" })
	e := create(t, c, "subnet-node-b", 0)
	_, err := c.CreateNetworkInterface(t.Context(), &sdk.CreateNetworkInterfaceInput{SubnetId: aws.String("subnet-node-a")})
	if code(err) != "NetworkInterfaceLimitExceeded" {
		t.Errorf("the sixth ENI of five: %v", err)
	}
	if err := assign(t, c, e.NetworkInterfaceId, 1, 1); code(err) != "InvalidParameterCombination" {
		t.Errorf("addresses and prefixes in one call: %v", err)
	}
	if err := assign(t, c, e.NetworkInterfaceId, 0, 1); err != nil {
		t.Fatal(err)
	}
	nodes, err := c.DescribeInstances(t.Context(), &sdk.DescribeInstancesInput{Filters: []types.Filter{{Name: aws.String("tag:Name"), Values: []string{"node-b"}}}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.AttachNetworkInterface(t.Context(), &sdk.AttachNetworkInterfaceInput{
		NetworkInterfaceId: e.NetworkInterfaceId, InstanceId: nodes.Reservations[0].Instances[0].InstanceId, DeviceIndex: aws.Int32(1),
	})
	if code(err) != "UnsupportedOperation" {
		t.Errorf("prefixes on an instance without Nitro: %v", err)
	}
}

// The topology pins what EC2 hands out next.
func TestNextAddresses(t *testing.T) {
	pins := []netip.Addr{netip.MustParseAddr("100.64.47.10"), netip.MustParseAddr("100.64.47.199")}
	_, c := start(t, func(topo *topology.Topology) { topo.NextAddresses = map[string][]netip.Addr{"subnet-pod-a": pins} })
	e := create(t, c, "subnet-pod-a", 1)
	for i, a := range e.PrivateIpAddresses {
		if *a.PrivateIpAddress != pins[i].String() {
			t.Errorf("address %d is %s, want %s", i, *a.PrivateIpAddress, pins[i])
		}
	}
}

// Concurrent assignments never hand out an address twice.
func TestConcurrentAssign(t *testing.T) {
	_, c := start(t, nil)
	var wg sync.WaitGroup
	var mu sync.Mutex
	seen := map[string]bool{}
	for range 20 {
		wg.Go(func() {
			e, err := c.CreateNetworkInterface(t.Context(), &sdk.CreateNetworkInterfaceInput{
				SubnetId: aws.String("subnet-node-a"), SecondaryPrivateIpAddressCount: aws.Int32(5),
			})
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			for _, a := range e.NetworkInterface.PrivateIpAddresses {
				if seen[*a.PrivateIpAddress] {
					t.Errorf("%s was handed out twice", *a.PrivateIpAddress)
				}
				seen[*a.PrivateIpAddress] = true
			}
		})
	}
	wg.Wait()
}
