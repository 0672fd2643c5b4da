package cloud

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
)

// read gets one key of the instance metadata. A key that does not exist is
// eni.ErrNotFound: IMDS has no empty values.
func (c *Client) read(ctx context.Context, key string) (string, error) {
	out, err := c.imds.GetMetadata(ctx, &imds.GetMetadataInput{Path: key})
	if answer, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
		if answer.HTTPStatusCode() == http.StatusNotFound {
			return "", fmt.Errorf("reading instance metadata %s: %w", key, eni.ErrNotFound)
		}
		return "", fmt.Errorf("reading instance metadata %s: HTTP status %d: %w", key, answer.HTTPStatusCode(), err)
	}
	if err != nil {
		return "", fmt.Errorf("reading instance metadata %s: %w; "+
			"check that IMDSv2 is enabled and reachable (in a container: host network, or a hop limit of 2)", key, err)
	}
	defer func() { _ = out.Content.Close() }()
	raw, err := io.ReadAll(out.Content)
	if err != nil {
		return "", fmt.Errorf("reading instance metadata %s: %w", key, err)
	}
	return strings.TrimSpace(string(raw)), nil
}

// Node returns what IMDS says of this instance and its primary ENI. VPC CIDRs
// can change while the instance runs; the rest cannot.
func (c *Client) Node(ctx context.Context) (eni.Node, error) {
	n := eni.Node{Region: c.region}
	r := reader{ctx: ctx, c: c}
	n.InstanceID, n.InstanceType = r.text("instance-id"), r.text("instance-type")
	n.AZ, n.PrimaryMAC = r.text("placement/availability-zone"), strings.ToLower(r.text("mac"))
	r.base = interfaces + n.PrimaryMAC + "/"
	n.PrimaryENI, n.VPCID, n.SubnetID = r.text("interface-id"), r.text("vpc-id"), r.text("subnet-id")
	n.VPCCIDRs, n.Subnet = r.prefixes("vpc-ipv4-cidr-blocks"), r.prefix("subnet-ipv4-cidr-block")
	if addrs := r.addrs("local-ipv4s"); len(addrs) > 0 {
		n.PrimaryIP = addrs[0] // IMDS lists the primary address first
	}
	n.Groups = r.lines("security-group-ids")
	if r.err != nil {
		return eni.Node{}, r.err
	}
	c.rememberSubnet(n.SubnetID, n.Subnet)
	return n, nil
}

// interfaces is the directory of attached ENIs, by MAC.
const interfaces = "network/interfaces/macs/"

// ENIs returns the attached ENIs as IMDS shows them, by card and device. That
// view may lag behind EC2's, and has no attachment id, tags, type or description.
func (c *Client) ENIs(ctx context.Context) ([]eni.ENI, error) {
	macs, err := c.read(ctx, interfaces)
	if err != nil {
		return nil, err
	}
	var enis []eni.ENI
	for mac := range strings.FieldsSeq(macs) {
		e, err := c.metadataENI(ctx, strings.TrimSuffix(mac, "/"))
		if errors.Is(err, eni.ErrNotFound) {
			continue // detached since the directory was read
		}
		if err != nil {
			return nil, err
		}
		enis = append(enis, e)
	}
	slices.SortFunc(enis, byPosition)
	return enis, nil
}

func (c *Client) metadataENI(ctx context.Context, mac string) (eni.ENI, error) {
	e := eni.ENI{MAC: strings.ToLower(mac), Untold: true}
	r := reader{ctx: ctx, c: c, base: interfaces + mac + "/"}
	e.ID, e.Device, e.SubnetID = r.text("interface-id"), r.number("device-number"), r.text("subnet-id")
	e.Subnet = r.prefix("subnet-ipv4-cidr-block")
	if addrs := r.addrs("local-ipv4s"); len(addrs) > 0 {
		e.Primary, e.Addresses = addrs[0], addrs[1:]
	}
	e.Groups = r.lines("security-group-ids")
	r.optional = true // 404 means card 0, and no prefix
	e.Card, e.Prefixes = r.number("network-card"), r.prefixes("ipv4-prefix")
	if r.err != nil {
		return eni.ENI{}, r.err
	}
	c.rememberSubnet(e.SubnetID, e.Subnet)
	return e, nil
}

// reader reads keys below base; the first error sticks and later reads do nothing.
type reader struct {
	ctx      context.Context //nolint:containedctx // lives for one call
	c        *Client
	base     string
	optional bool // a missing key is empty
	err      error
}

func (r *reader) text(key string) string {
	if r.err != nil {
		return ""
	}
	text, err := r.c.read(r.ctx, r.base+key)
	if r.optional && errors.Is(err, eni.ErrNotFound) {
		return ""
	}
	r.err = err
	return text
}

func (r *reader) lines(key string) []string { return strings.Fields(r.text(key)) }

func (r *reader) number(key string) int {
	text := r.text(key)
	if text == "" {
		return 0
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		r.fail(key, err)
	}
	return n
}

func (r *reader) addrs(key string) []netip.Addr {
	var out []netip.Addr
	for _, text := range r.lines(key) {
		a, err := netip.ParseAddr(text)
		if err != nil {
			r.fail(key, err)
			return nil
		}
		out = append(out, a)
	}
	return out
}

func (r *reader) prefixes(key string) []netip.Prefix {
	var out []netip.Prefix
	for _, text := range r.lines(key) {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			r.fail(key, err)
			return nil
		}
		out = append(out, p)
	}
	return out
}

func (r *reader) prefix(key string) netip.Prefix {
	ps := r.prefixes(key)
	if r.err == nil && len(ps) != 1 {
		r.fail(key, fmt.Errorf("%d CIDRs instead of one", len(ps)))
	}
	if len(ps) == 0 {
		return netip.Prefix{}
	}
	return ps[0]
}

func (r *reader) fail(key string, err error) {
	if r.err == nil {
		r.err = fmt.Errorf("reading instance metadata %s: %w", r.base+key, err)
	}
}
