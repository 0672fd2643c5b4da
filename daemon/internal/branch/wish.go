package branch

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/vpcchain/vpcchain/pkg/ipamapi"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// ErrBadWish is a pod's annotation that cannot be used.
var ErrBadWish = errors.New("the pod's annotation cannot be used")

// maxGroups is EC2's limit of security groups on an ENI (VPC User Guide, "Quotas").
const maxGroups = 5

// Wish is what a pod asks for: the branch that was made for it, or one with
// security groups.
type Wish struct {
	Announced *Announcement
	Groups    []string // sorted, without doubles
}

// ParseWish reads a pod's annotations. The controller's counts before the groups,
// which it has seen. The error is ErrBadWish.
func ParseWish(annotations map[string]string) (Wish, error) {
	if text, ok := annotations[ipamapi.AnnotationPodENI]; ok {
		a, err := ParseAnnouncement(text)
		if err != nil {
			return Wish{}, fmt.Errorf("%w: %s: %w", ErrBadWish, ipamapi.AnnotationPodENI, err)
		}
		return Wish{Announced: &a}, nil
	}
	groups, err := ParseGroups(annotations[ipamapi.AnnotationGroups])
	if err != nil {
		return Wish{}, fmt.Errorf("%w: %s: %w", ErrBadWish, ipamapi.AnnotationGroups, err)
	}
	return Wish{Groups: groups}, nil
}

// groupID is the shape of a security group's id.
var groupID = regexp.MustCompile(`^sg-[0-9A-Za-z-]{1,60}$`)

// ParseGroups reads ids of security groups with commas between them.
func ParseGroups(text string) ([]string, error) {
	var out []string
	for id := range strings.SplitSeq(text, ",") {
		id = strings.TrimSpace(id)
		if !groupID.MatchString(id) {
			return nil, fmt.Errorf("%q is not the id of a security group: give ids such as sg-0a1b2c3d, with commas between them", id)
		}
		out = append(out, id)
	}
	slices.Sort(out)
	if out = slices.Compact(out); len(out) > maxGroups {
		return nil, fmt.Errorf("%d security groups are more than the %d that EC2 allows on an ENI", len(out), maxGroups)
	}
	return out, nil
}

// Announcement is a branch ENI that the VPC resource controller made for a pod.
type Announcement struct {
	ENI    string
	MAC    string // lower case, colons
	Addr   netip.Addr
	Subnet netip.Prefix
	VLAN   int
}

// eniID is the shape of an ENI's id.
var eniID = regexp.MustCompile(`^eni-[0-9A-Za-z-]{1,60}$`)

// ParseAnnouncement reads the controller's annotation: a JSON array whose first
// element counts. The key of the VLAN id is vlanId, or vlanID as the stock
// daemon spells it.
func ParseAnnouncement(text string) (Announcement, error) {
	var list []struct {
		ENI    string `json:"eniId"`
		MAC    string `json:"ifAddress"`
		Addr   string `json:"privateIp"`
		VLAN   int    `json:"vlanId"`
		Subnet string `json:"subnetCidr"`
	}
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return Announcement{}, fmt.Errorf("not a JSON array of branch ENIs: %w", err)
	}
	if len(list) == 0 {
		return Announcement{}, errors.New("it names no branch ENI")
	}
	raw := list[0]
	out := Announcement{ENI: raw.ENI, VLAN: raw.VLAN}
	mac, macErr := net.ParseMAC(raw.MAC)
	addr, addrErr := netip.ParseAddr(raw.Addr)
	subnet, subnetErr := netip.ParsePrefix(raw.Subnet)
	switch {
	case !eniID.MatchString(raw.ENI):
		return Announcement{}, fmt.Errorf("eniId %q is not the id of an ENI", raw.ENI)
	case raw.VLAN < 1 || raw.VLAN > vpcnet.MaxVLAN:
		return Announcement{}, fmt.Errorf("vlanId %d is not from 1 to %d", raw.VLAN, vpcnet.MaxVLAN)
	case macErr != nil || len(mac) != 6 || mac[0]&1 != 0 || slices.Max(mac) == 0:
		return Announcement{}, fmt.Errorf("ifAddress %q is not the MAC address of an ENI", raw.MAC)
	case addrErr != nil || !addr.Is4():
		return Announcement{}, fmt.Errorf("privateIp %q is not an IPv4 address", raw.Addr)
	case subnetErr != nil || !subnet.Addr().Is4() || !subnet.Contains(addr):
		return Announcement{}, fmt.Errorf("subnetCidr %q is not an IPv4 subnet of %s", raw.Subnet, addr)
	}
	out.MAC, out.Addr, out.Subnet = mac.String(), addr, subnet.Masked()
	return out, nil
}
