package cloud

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
)

// Associate makes a branch ENI a VLAN of a trunk. Repeated with the same token,
// also by another process, it gives the same association.
func (c *Client) Associate(ctx context.Context, a eni.Association, token string) (id string, err error) {
	out, err := c.ec2.AssociateTrunkInterface(ctx, &ec2.AssociateTrunkInterfaceInput{
		TrunkInterfaceId: aws.String(a.Trunk), BranchInterfaceId: aws.String(a.Branch), VlanId: int32Ptr(a.VLAN), ClientToken: aws.String(token),
	})
	if err != nil {
		return "", fmt.Errorf("associating %s with %s as VLAN %d: %w", a.Branch, a.Trunk, a.VLAN, wrap("AssociateTrunkInterface", err))
	}
	if out.InterfaceAssociation == nil {
		return "", fmt.Errorf("associating %s with %s: EC2 answered without an association: %w", a.Branch, a.Trunk, eni.ErrNoAnswer)
	}
	return aws.ToString(out.InterfaceAssociation.AssociationId), nil
}

// Disassociate takes a branch off its trunk. An association that is gone is success.
func (c *Client) Disassociate(ctx context.Context, association string) error {
	_, err := c.ec2.DisassociateTrunkInterface(ctx, &ec2.DisassociateTrunkInterfaceInput{AssociationId: aws.String(association)})
	if err == nil {
		return nil
	}
	if err = wrap("DisassociateTrunkInterface", err); errors.Is(err, eni.ErrNotFound) {
		return nil
	}
	return fmt.Errorf("disassociating %s: %w", association, err)
}

// DeleteBranch deletes a branch ENI; EC2 ends an association with it. One that is
// attached is eni.ErrInUse at once, and one that is gone success.
func (c *Client) DeleteBranch(ctx context.Context, id string) error {
	_, err := c.ec2.DeleteNetworkInterface(ctx, &ec2.DeleteNetworkInterfaceInput{NetworkInterfaceId: aws.String(id)})
	if err == nil {
		return nil
	}
	err = wrap("DeleteNetworkInterface", err)
	switch {
	case errors.Is(err, eni.ErrNotFound):
		return nil
	case inUse(err):
		return fmt.Errorf("deleting %s: %w: %w", id, eni.ErrInUse, err)
	}
	return fmt.Errorf("deleting %s: %w", id, err)
}

// Branches lists the branch ENIs that carry this instance's tag, and the
// associations of the region that the credentials see: EC2 filters them neither
// by trunk nor by branch.
func (c *Client) Branches(ctx context.Context) ([]eni.ENI, []eni.Association, error) {
	list, err := c.describe(ctx, &ec2.DescribeNetworkInterfacesInput{Filters: []types.Filter{
		{Name: aws.String("tag:" + eni.TagInstance), Values: []string{c.instance}},
		{Name: aws.String("interface-type"), Values: []string{eni.TypeBranch}},
	}}, func(types.NetworkInterface) bool { return true })
	if err != nil {
		return nil, nil, err
	}
	var out []eni.Association
	for pages := ec2.NewDescribeTrunkInterfaceAssociationsPaginator(c.ec2, &ec2.DescribeTrunkInterfaceAssociationsInput{}); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, nil, fmt.Errorf("describing the associations of trunks: %w", wrap("DescribeTrunkInterfaceAssociations", err))
		}
		for _, a := range page.InterfaceAssociations {
			out = append(out, eni.Association{
				ID: aws.ToString(a.AssociationId), Trunk: aws.ToString(a.TrunkInterfaceId),
				Branch: aws.ToString(a.BranchInterfaceId), VLAN: int(aws.ToInt32(a.VlanId)),
			})
		}
	}
	return list, out, nil
}

// refusesGroups tells whether EC2 does not take the security groups of a
// request, which no waiting changes.
func refusesGroups(code, message string) bool {
	switch code {
	case "InvalidGroup.NotFound", "InvalidGroupId.Malformed", "InvalidSecurityGroupID.NotFound", "InvalidSecurityGroupId.Malformed",
		"SecurityGroupLimitExceeded", "SecurityGroupsPerInterfaceLimitExceeded":
		return true
	}
	return code == "InvalidParameterValue" && strings.Contains(strings.ToLower(message), "security group")
}
