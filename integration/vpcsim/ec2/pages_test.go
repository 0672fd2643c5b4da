package ec2_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/vpcchain/vpcchain/integration/vpcsim/topology"
)

// The SDK's paginators see every item once, also when others go meanwhile.
func TestPaginators(t *testing.T) {
	_, c := start(t, func(topo *topology.Topology) {
		topo.PageSize = 5
		for i := range 7 {
			topo.Subnets = append(topo.Subnets, topology.Subnet{
				ID: fmt.Sprintf("subnet-%d", i), CIDR: netip.MustParsePrefix(fmt.Sprintf("10.20.%d.0/24", 100+i)), AZ: "us-west-2a", RouteTable: "rtb-main",
			})
		}
	})
	for range 9 {
		create(t, c, "subnet-node-a", 0)
	}
	var enis []string
	for p := sdk.NewDescribeNetworkInterfacesPaginator(c, &sdk.DescribeNetworkInterfacesInput{}); p.HasMorePages(); {
		out, err := p.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range out.NetworkInterfaces {
			enis = append(enis, *e.NetworkInterfaceId)
		}
		if e := out.NetworkInterfaces[0]; e.Status == types.NetworkInterfaceStatusAvailable { // gone before the next page
			if _, err := c.DeleteNetworkInterface(t.Context(), &sdk.DeleteNetworkInterfaceInput{NetworkInterfaceId: e.NetworkInterfaceId}); err != nil {
				t.Error(err)
			}
		}
	}
	if distinct := slices.Compact(slices.Sorted(slices.Values(enis))); len(enis) != 13 || len(distinct) != 13 {
		t.Errorf("%d ENIs, %d of them distinct, want 13", len(enis), len(distinct))
	}
	subnets, types, pages := 0, 0, 0
	for p := sdk.NewDescribeSubnetsPaginator(c, nil); p.HasMorePages(); pages++ {
		out, err := p.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		subnets += len(out.Subnets)
	}
	for p := sdk.NewDescribeInstanceTypesPaginator(c, &sdk.DescribeInstanceTypesInput{MaxResults: aws.Int32(100)}); p.HasMorePages(); {
		out, err := p.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		types += len(out.InstanceTypes)
	}
	if subnets != 13 || pages != 3 || types < 10 {
		t.Errorf("%d subnets on %d pages, %d types", subnets, pages, types)
	}
}

func TestPageErrors(t *testing.T) {
	_, c := start(t, nil)
	for want, in := range map[string]*sdk.DescribeNetworkInterfacesInput{
		"InvalidParameterValue":       {MaxResults: aws.Int32(4)},
		"InvalidParameterCombination": {MaxResults: aws.Int32(5), NetworkInterfaceIds: []string{"eni-1"}},
		"InvalidNextToken":            {NextToken: aws.String("5")},
	} {
		if _, err := c.DescribeNetworkInterfaces(t.Context(), in); code(err) != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestPages(t *testing.T) {
	_, c := start(t, nil)
	for range 7 {
		create(t, c, "subnet-node-a", 0)
	}
	p := sdk.NewDescribeNetworkInterfacesPaginator(c, &sdk.DescribeNetworkInterfacesInput{MaxResults: aws.Int32(5)})
	seen, pages := map[string]bool{}, 0
	for p.HasMorePages() {
		out, err := p.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range out.NetworkInterfaces {
			seen[*e.NetworkInterfaceId] = true
		}
		pages++
	}
	if len(seen) != 11 || pages != 3 {
		t.Errorf("%d ENIs on %d pages", len(seen), pages)
	}
}
