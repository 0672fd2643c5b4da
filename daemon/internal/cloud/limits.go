package cloud

import (
	"context"
	_ "embed" // the table of limits
	"encoding/csv"
	"fmt"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
)

// limitsCSV has AWS's published limits of the common instance types (EC2 User
// Guide, "Maximum IP addresses per network interface"; branch ENIs: EKS User
// Guide). It saves a call, and a permission, on most nodes.
//
//go:embed limits.csv
var limitsCSV string

// Limits returns those of an instance type: from the embedded table, else by
// DescribeInstanceTypes.
func (c *Client) Limits(ctx context.Context, instanceType string) (eni.Limits, error) {
	if l, ok, err := tableLimits(limitsCSV, instanceType); ok || err != nil {
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

// tableLimits finds a type in the table: instance_type, max_enis, ipv4_per_eni,
// hypervisor, max_branch_enis.
func tableLimits(table, instanceType string) (l eni.Limits, ok bool, err error) {
	rows, err := csv.NewReader(strings.NewReader(table)).ReadAll()
	if err != nil {
		return l, false, fmt.Errorf("reading the table of limits: %w", err)
	}
	for _, row := range rows {
		if len(row) < 4 || row[0] != instanceType {
			continue
		}
		enis, err := strconv.Atoi(row[1])
		if err != nil {
			return l, false, fmt.Errorf("reading the limits of %s: %w", instanceType, err)
		}
		addrs, err := strconv.Atoi(row[2])
		if err != nil {
			return l, false, fmt.Errorf("reading the limits of %s: %w", instanceType, err)
		}
		l = eni.Limits{ENIs: enis, IPv4PerENI: addrs, Hypervisor: row[3]}
		if len(row) > 4 && row[4] != "" {
			if l.Branches, err = strconv.Atoi(row[4]); err != nil {
				return l, false, fmt.Errorf("reading the limits of %s: %w", instanceType, err)
			}
		}
		return l, true, nil
	}
	return l, false, nil
}
