package cloud

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
)

// TagCreatedAt is the stock daemon's tag with the time of creation (RFC 3339).
const TagCreatedAt = "node.k8s.amazonaws.com/createdAt"

// Describe returns every ENI that EC2 says is attached to this instance, by
// card and device, without those that are being detached: one
// DescribeNetworkInterfaces, and one DescribeSubnets when a subnet is seen for
// the first time.
func (c *Client) Describe(ctx context.Context) ([]eni.ENI, error) {
	return c.describe(ctx, &ec2.DescribeNetworkInterfacesInput{Filters: []types.Filter{{
		Name: aws.String("attachment.instance-id"), Values: []string{c.instance},
	}}}, func(ni types.NetworkInterface) bool {
		return ni.Attachment == nil || ni.Attachment.Status != types.AttachmentStatusDetaching
	})
}

// Available returns the ENIs with all of the tags that are attached to nothing:
// of this instance, or of a cluster.
func (c *Client) Available(ctx context.Context, tags map[string]string) ([]eni.ENI, error) {
	filters := []types.Filter{{Name: aws.String("status"), Values: []string{string(types.NetworkInterfaceStatusAvailable)}}}
	for _, t := range toTags(tags) {
		filters = append(filters, types.Filter{Name: aws.String("tag:" + *t.Key), Values: []string{*t.Value}})
	}
	return c.describe(ctx, &ec2.DescribeNetworkInterfacesInput{Filters: filters}, func(ni types.NetworkInterface) bool {
		return ni.Attachment == nil
	})
}

func (c *Client) describe(ctx context.Context, in *ec2.DescribeNetworkInterfacesInput, wanted func(types.NetworkInterface) bool) ([]eni.ENI, error) {
	const api = "DescribeNetworkInterfaces"
	var raw []types.NetworkInterface
	for pages := ec2.NewDescribeNetworkInterfacesPaginator(c.ec2, in); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("describing ENIs: %w", wrap(api, err))
		}
		for _, ni := range page.NetworkInterfaces {
			if wanted(ni) {
				raw = append(raw, ni)
			}
		}
	}
	var ids []string
	for _, ni := range raw {
		ids = append(ids, aws.ToString(ni.SubnetId))
	}
	subnets, err := c.subnetCIDRs(ctx, ids)
	if err != nil {
		return nil, err
	}
	enis := make([]eni.ENI, 0, len(raw))
	for _, ni := range raw {
		e, err := convert(ni, subnets)
		if err != nil {
			return nil, err
		}
		enis = append(enis, e)
	}
	slices.SortFunc(enis, byPosition)
	return enis, nil
}

func byPosition(a, b eni.ENI) int {
	if a.Card != b.Card {
		return a.Card - b.Card
	}
	if a.Device != b.Device {
		return a.Device - b.Device
	}
	return strings.Compare(a.ID, b.ID)
}

// Create makes an ENI that is not attached yet. With a ClientToken a repeated
// call, also in another process, returns the ENI of the first one; without, the
// SDK makes one for its own retries. An ENI with an id beside an error exists.
func (c *Client) Create(ctx context.Context, spec eni.CreateSpec) (eni.ENI, error) {
	in := &ec2.CreateNetworkInterfaceInput{
		SubnetId: aws.String(spec.SubnetID), Groups: spec.Groups, Description: aws.String(spec.Description),
	}
	if spec.ClientToken != "" {
		in.ClientToken = aws.String(spec.ClientToken)
	}
	if spec.Addresses > 0 {
		in.SecondaryPrivateIpAddressCount = int32Ptr(spec.Addresses)
	}
	if spec.Prefixes > 0 {
		in.Ipv4PrefixCount = int32Ptr(spec.Prefixes)
	}
	if spec.Type != "" {
		in.InterfaceType = types.NetworkInterfaceCreationType(spec.Type)
	}
	if len(spec.Tags) > 0 {
		in.TagSpecifications = []types.TagSpecification{{ResourceType: types.ResourceTypeNetworkInterface, Tags: toTags(spec.Tags)}}
	}
	out, err := c.ec2.CreateNetworkInterface(ctx, in)
	if err != nil {
		return eni.ENI{}, fmt.Errorf("creating an ENI in %s: %w", spec.SubnetID, wrap("CreateNetworkInterface", err))
	}
	if out.NetworkInterface == nil {
		return eni.ENI{}, fmt.Errorf("creating an ENI in %s: EC2 answered without one", spec.SubnetID)
	}
	// The ENI exists now: what goes wrong from here on must not lose its id.
	subnets, subnetErr := c.subnetCIDRs(ctx, []string{spec.SubnetID})
	e, err := convert(*out.NetworkInterface, subnets)
	if err == nil {
		err = subnetErr
	}
	return e, err
}

// Attach attaches the ENI to this instance. It waits some seconds for EC2 to know
// one that was just made; one that EC2 does not know then is eni.ErrNotFound. When
// a retry meets what an earlier attempt did, whose answer was lost, it is a success.
func (c *Client) Attach(ctx context.Context, eniID string, card, device int) (attachmentID string, err error) {
	out, err := c.ec2.AttachNetworkInterface(ctx, &ec2.AttachNetworkInterfaceInput{
		InstanceId: aws.String(c.instance), NetworkInterfaceId: aws.String(eniID),
		DeviceIndex: int32Ptr(device), NetworkCardIndex: int32Ptr(card),
	}, c.untilShown)
	if err == nil {
		return aws.ToString(out.AttachmentId), nil
	}
	err = wrap("AttachNetworkInterface", err)
	if hasCode(err, "InvalidNetworkInterface.InUse") || hasCode(err, "InvalidParameterValue") {
		if id, ok := c.attachedHere(ctx, eniID, card, device); ok {
			return id, nil
		}
	}
	return "", fmt.Errorf("attaching %s at card %d, device %d: %w", eniID, card, device, err)
}

func (c *Client) attachedHere(ctx context.Context, eniID string, card, device int) (attachmentID string, ok bool) {
	enis, err := c.Describe(ctx)
	if err != nil {
		return "", false
	}
	for _, e := range enis {
		if e.ID == eniID && e.Card == card && e.Device == device {
			return e.AttachmentID, true
		}
	}
	return "", false
}

// DeleteWithInstance makes EC2 delete the ENI when the instance terminates.
func (c *Client) DeleteWithInstance(ctx context.Context, eniID, attachmentID string) error {
	_, err := c.ec2.ModifyNetworkInterfaceAttribute(ctx, &ec2.ModifyNetworkInterfaceAttributeInput{
		NetworkInterfaceId: aws.String(eniID),
		Attachment: &types.NetworkInterfaceAttachmentChanges{
			AttachmentId: aws.String(attachmentID), DeleteOnTermination: aws.Bool(true),
		},
	})
	if err != nil {
		return fmt.Errorf("setting %s to be deleted with the instance: %w", eniID, wrap("ModifyNetworkInterfaceAttribute", err))
	}
	return nil
}

// convert makes the domain value of EC2's. Even with an error it has the id.
func convert(ni types.NetworkInterface, subnets map[string]netip.Prefix) (eni.ENI, error) {
	e := eni.ENI{
		ID: aws.ToString(ni.NetworkInterfaceId), MAC: strings.ToLower(aws.ToString(ni.MacAddress)),
		SubnetID: aws.ToString(ni.SubnetId), Subnet: subnets[aws.ToString(ni.SubnetId)], AZ: aws.ToString(ni.AvailabilityZone),
		Type: string(ni.InterfaceType), Description: aws.ToString(ni.Description), Tags: map[string]string{},
	}
	if at := ni.Attachment; at != nil {
		e.Card, e.Device = int(aws.ToInt32(at.NetworkCardIndex)), int(aws.ToInt32(at.DeviceIndex))
		e.AttachmentID, e.DeleteOnTermination = aws.ToString(at.AttachmentId), aws.ToBool(at.DeleteOnTermination)
	}
	for _, g := range ni.Groups {
		e.Groups = append(e.Groups, aws.ToString(g.GroupId))
	}
	for _, t := range ni.TagSet {
		e.Tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	e.Created, _ = time.Parse(time.RFC3339, e.Tags[TagCreatedAt])
	var err error
	for _, a := range ni.PrivateIpAddresses {
		addr, perr := netip.ParseAddr(aws.ToString(a.PrivateIpAddress))
		switch {
		case perr != nil:
			err = fmt.Errorf("reading the addresses of %s: %w", e.ID, perr)
		case aws.ToBool(a.Primary):
			e.Primary = addr
		default:
			e.Addresses = append(e.Addresses, addr)
		}
	}
	for _, p := range ni.Ipv4Prefixes {
		prefix, perr := netip.ParsePrefix(aws.ToString(p.Ipv4Prefix))
		if perr != nil {
			err = fmt.Errorf("reading the prefixes of %s: %w", e.ID, perr)
			continue
		}
		e.Prefixes = append(e.Prefixes, prefix)
	}
	return e, err
}

// subnetCIDRs returns the IPv4 CIDRs of the subnets, asking EC2 only for those
// that were never seen.
func (c *Client) subnetCIDRs(ctx context.Context, ids []string) (map[string]netip.Prefix, error) {
	known, unknown := c.knownSubnets(ids)
	if len(unknown) == 0 {
		return known, nil
	}
	out, err := c.ec2.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{SubnetIds: unknown})
	if err != nil {
		return known, fmt.Errorf("describing subnets %s: %w", strings.Join(unknown, ", "), wrap("DescribeSubnets", err))
	}
	for _, s := range out.Subnets {
		id := aws.ToString(s.SubnetId)
		p, err := netip.ParsePrefix(aws.ToString(s.CidrBlock))
		if err != nil {
			return known, fmt.Errorf("reading the CIDR of %s: %w", id, err)
		}
		c.rememberSubnet(id, p)
		c.rememberRoom(s)
		known[id] = p
	}
	return known, nil
}

func (c *Client) knownSubnets(ids []string) (known map[string]netip.Prefix, unknown []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	known = make(map[string]netip.Prefix, len(ids))
	for _, id := range ids {
		if p, ok := c.subnets[id]; ok {
			known[id] = p
		} else if !slices.Contains(unknown, id) {
			unknown = append(unknown, id)
		}
	}
	return known, unknown
}

// rememberSubnet keeps what IMDS says, which saves a DescribeSubnets.
func (c *Client) rememberSubnet(id string, cidr netip.Prefix) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.subnets[id] = cidr
}

func toTags(tags map[string]string) []types.Tag {
	out := make([]types.Tag, 0, len(tags))
	for k, v := range tags {
		out = append(out, types.Tag{Key: aws.String(k), Value: aws.String(v)})
	}
	slices.SortFunc(out, func(a, b types.Tag) int { return strings.Compare(*a.Key, *b.Key) }) // a ClientToken wants the same request
	return out
}

func int32Ptr(n int) *int32 { return aws.Int32(int32(n)) } //nolint:gosec // counts and indexes of a few hundred at most
