package cloud

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
)

// AssignPrefixes delegates n /28 prefixes of EC2's choice to the ENI. A subnet
// with free addresses but no free /28 is eni.ErrSubnetFull. As with Assign, after
// an error other than a refusal they may have been delegated all the same.
func (c *Client) AssignPrefixes(ctx context.Context, eniID string, n int) ([]netip.Prefix, error) {
	out, err := c.ec2.AssignPrivateIpAddresses(ctx, &ec2.AssignPrivateIpAddressesInput{
		NetworkInterfaceId: aws.String(eniID), Ipv4PrefixCount: int32Ptr(n),
	}, c.onlyUnapplied)
	if err != nil {
		return nil, fmt.Errorf("delegating %d prefixes to %s: %w", n, eniID, wrap("AssignPrivateIpAddresses", err))
	}
	prefixes := make([]netip.Prefix, 0, len(out.AssignedIpv4Prefixes))
	for _, p := range out.AssignedIpv4Prefixes {
		prefix, err := netip.ParsePrefix(aws.ToString(p.Ipv4Prefix))
		if err != nil {
			return prefixes, fmt.Errorf("reading the prefixes delegated to %s: %w", eniID, err)
		}
		prefixes = append(prefixes, prefix)
	}
	return prefixes, nil
}

// UnassignPrefixes gives prefixes of the ENI back to the subnet.
func (c *Client) UnassignPrefixes(ctx context.Context, eniID string, prefixes []netip.Prefix) error {
	if len(prefixes) == 0 {
		return nil // EC2 refuses an empty list
	}
	texts := make([]string, len(prefixes))
	for i, p := range prefixes {
		texts[i] = p.String()
	}
	_, err := c.ec2.UnassignPrivateIpAddresses(ctx, &ec2.UnassignPrivateIpAddressesInput{
		NetworkInterfaceId: aws.String(eniID), Ipv4Prefixes: texts,
	})
	if err != nil {
		return fmt.Errorf("giving %d prefixes of %s back: %w", len(prefixes), eniID, wrap("UnassignPrivateIpAddresses", err))
	}
	return nil
}
