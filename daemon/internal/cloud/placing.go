package cloud

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
)

// Subnets returns the subnets of an availability zone of the VPC.
func (c *Client) Subnets(ctx context.Context, vpc, az string) ([]eni.Subnet, error) {
	in := &ec2.DescribeSubnetsInput{Filters: []types.Filter{
		{Name: aws.String("vpc-id"), Values: []string{vpc}}, {Name: aws.String("availability-zone"), Values: []string{az}},
	}}
	var out []eni.Subnet
	for pages := ec2.NewDescribeSubnetsPaginator(c.ec2, in); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("describing the subnets of %s in %s: %w", vpc, az, wrap("DescribeSubnets", err))
		}
		for _, s := range page.Subnets {
			p, err := netip.ParsePrefix(aws.ToString(s.CidrBlock))
			if err != nil {
				continue // a subnet without IPv4
			}
			found := eni.Subnet{
				ID: aws.ToString(s.SubnetId), CIDR: p, AZ: aws.ToString(s.AvailabilityZone), Free: int(aws.ToInt32(s.AvailableIpAddressCount)),
				Tags: map[string]string{},
			}
			for _, t := range s.Tags {
				found.Tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
			}
			c.rememberSubnet(found.ID, p)
			c.rememberRoom(s)
			out = append(out, found)
		}
	}
	return out, nil
}

// SetGroups replaces the security groups of an ENI.
func (c *Client) SetGroups(ctx context.Context, eniID string, groups []string) error {
	_, err := c.ec2.ModifyNetworkInterfaceAttribute(ctx, &ec2.ModifyNetworkInterfaceAttributeInput{
		NetworkInterfaceId: aws.String(eniID), Groups: groups,
	})
	if err != nil {
		return fmt.Errorf("setting the security groups of %s: %w", eniID, wrap("ModifyNetworkInterfaceAttribute", err))
	}
	return nil
}
