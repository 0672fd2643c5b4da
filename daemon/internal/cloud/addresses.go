package cloud

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
)

// Assign gives the ENI n more secondary addresses of EC2's choice. After an
// error other than a refusal they may have been assigned all the same: Describe tells.
func (c *Client) Assign(ctx context.Context, eniID string, n int) ([]netip.Addr, error) {
	out, err := c.ec2.AssignPrivateIpAddresses(ctx, &ec2.AssignPrivateIpAddressesInput{
		NetworkInterfaceId: aws.String(eniID), SecondaryPrivateIpAddressCount: int32Ptr(n),
	}, c.onlyUnapplied)
	if err != nil {
		return nil, fmt.Errorf("assigning %d addresses to %s: %w", n, eniID, wrap("AssignPrivateIpAddresses", err))
	}
	addrs := make([]netip.Addr, 0, len(out.AssignedPrivateIpAddresses))
	for _, a := range out.AssignedPrivateIpAddresses {
		addr, err := netip.ParseAddr(aws.ToString(a.PrivateIpAddress))
		if err != nil {
			return addrs, fmt.Errorf("reading the addresses assigned to %s: %w", eniID, err)
		}
		addrs = append(addrs, addr)
	}
	return addrs, nil
}

// Unassign gives secondary addresses of the ENI back to the subnet.
func (c *Client) Unassign(ctx context.Context, eniID string, addrs []netip.Addr) error {
	if len(addrs) == 0 {
		return nil // EC2 refuses an empty list
	}
	texts := make([]string, len(addrs))
	for i, a := range addrs {
		texts[i] = a.String()
	}
	_, err := c.ec2.UnassignPrivateIpAddresses(ctx, &ec2.UnassignPrivateIpAddressesInput{
		NetworkInterfaceId: aws.String(eniID), PrivateIpAddresses: texts,
	})
	if err != nil {
		return fmt.Errorf("unassigning %d addresses from %s: %w", len(addrs), eniID, wrap("UnassignPrivateIpAddresses", err))
	}
	return nil
}
