package cloud

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/daemon/internal/limits"
)

// Limits returns those of an instance type: from the table, else by
// DescribeInstanceTypes.
func (c *Client) Limits(ctx context.Context, instanceType string) (eni.Limits, error) {
	if l, ok, err := limits.Of(instanceType); ok || err != nil {
		return l, err
	}
	out, err := c.ec2.DescribeInstanceTypes(ctx, &ec2.DescribeInstanceTypesInput{InstanceTypes: []types.InstanceType{types.InstanceType(instanceType)}})
	if err != nil {
		return eni.Limits{}, fmt.Errorf("looking up the limits of %s: %w", instanceType, wrap("DescribeInstanceTypes", err))
	}
	if len(out.InstanceTypes) != 1 || out.InstanceTypes[0].NetworkInfo == nil {
		return eni.Limits{}, fmt.Errorf("looking up the limits of %s: EC2 does not say: %w", instanceType, eni.ErrNotFound)
	}
	info, net := out.InstanceTypes[0], out.InstanceTypes[0].NetworkInfo
	l := eni.Limits{
		ENIs: int(aws.ToInt32(net.MaximumNetworkInterfaces)), IPv4PerENI: int(aws.ToInt32(net.Ipv4AddressesPerInterface)),
		Hypervisor: string(info.Hypervisor),
	}
	for _, card := range net.NetworkCards {
		if aws.ToInt32(card.NetworkCardIndex) == 0 && card.MaximumNetworkInterfaces != nil {
			l.ENIs = int(*card.MaximumNetworkInterfaces)
		}
	}
	return l, nil
}
