package ec2

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/vpcchain/vpcchain/integration/vpcsim/topology"
)

func noENI(id string) error {
	return &apiError{"InvalidNetworkInterfaceID.NotFound", "The networkInterface ID '" + id + "' does not exist", 400}
}

func noInstance(id string) error {
	return &apiError{"InvalidInstanceID.NotFound", "The instance ID '" + id + "' does not exist", 400}
}

func noGroup(id string) error {
	return &apiError{"InvalidGroup.NotFound", "The security group '" + id + "' does not exist", 400}
}

func (s *Sim) findENI(q query) (*eni, error) {
	return s.named(q, "NetworkInterfaceId")
}

type done struct {
	Return bool `xml:"return"`
}

type createENI struct {
	ENI   xmlENI `xml:"networkInterface"`
	Token string `xml:"clientToken,omitempty"`
}

func (s *Sim) createNetworkInterface(q query) (any, error) {
	clientToken := q.str("ClientToken")
	if clientToken != "" {
		if t, ok := s.tokens[clientToken]; ok {
			return s.replay(t, q, clientToken)
		}
	}
	sn := s.subnets[q.str("SubnetId")]
	if sn == nil {
		return nil, &apiError{"InvalidSubnetID.NotFound", "The subnet ID '" + q.str("SubnetId") + "' does not exist", 400}
	}
	groups, tags := q.list("SecurityGroupId"), q.tagSpecification("network-interface")
	if err := errors.Join(s.checkGroups(groups), fewTags(tags)); err != nil {
		return nil, err
	}
	if len(groups) == 0 {
		groups = []string{s.topo.SecurityGroups[0].ID} // the VPC's default group
	}
	count, err := q.number("SecondaryPrivateIpAddressCount")
	if err != nil {
		return nil, err
	}
	prefixes, err := q.number("Ipv4PrefixCount")
	if err != nil {
		return nil, err
	}
	kind, err := creationType(q)
	if err != nil {
		return nil, err
	}
	if count > 0 && prefixes > 0 {
		return nil, &apiError{"InvalidParameterCombination", "Ipv4PrefixCount and SecondaryPrivateIpAddressCount exclude each other", 400}
	}
	if err := s.checkCreate(groups, count+prefixes); err != nil {
		return nil, err
	}
	if count+1 > sn.free() {
		return nil, sn.full(count + 1)
	}
	primary, err := sn.take(1, "")
	if err != nil {
		return nil, err
	}
	e := s.newENI(sn, primary[0])
	e.made, e.kind, e.groups, e.description, e.tags = time.Now(), kind, groups, q.str("Description"), tags
	if err := sn.fill(e, count, prefixes); err != nil {
		s.drop(e)
		return nil, err
	}
	if clientToken != "" {
		s.tokens[clientToken] = token{params(q), e.id}
	}
	return createENI{s.xmlENI(e), clientToken}, nil
}

// params identifies a request for ClientToken: the same token with other
// parameters is an error.
func params(q query) string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(q)) {
		fmt.Fprintf(&b, "%s=%q ", k, q[k])
	}
	return b.String()
}

func (s *Sim) replay(t token, q query, clientToken string) (any, error) {
	if err := t.check(q); err != nil {
		return nil, err
	}
	e := s.enis[t.id]
	if e == nil {
		return nil, noENI(t.id)
	}
	return createENI{s.xmlENI(e), clientToken}, nil
}

func (s *Sim) checkGroups(ids []string) error {
	for _, id := range ids {
		if !slices.ContainsFunc(s.topo.SecurityGroups, func(g topology.SecurityGroup) bool { return g.ID == id }) {
			return noGroup(id)
		}
	}
	return nil
}

// drop forgets the ENI, ends its associations and frees its addresses.
func (s *Sim) drop(e *eni) {
	s.endAll(e)
	sn := s.subnets[e.subnet]
	for a, owner := range sn.used {
		if owner == e.id {
			delete(sn.used, a)
		}
	}
	s.loosen(e)
	delete(s.enis, e.id)
}

func (s *Sim) deleteNetworkInterface(q query) (any, error) {
	e, err := s.findENI(q)
	if err != nil {
		return nil, err
	}
	if e.requester != "" {
		return nil, &apiError{"OperationNotPermitted", "You are not allowed to manage '" + e.id + "'.", 400}
	}
	if e.attachment != nil || e.host != "" {
		return nil, &apiError{"InvalidParameterValue", fmt.Sprintf("Network interface '%s' is currently in use.", e.id), 400}
	}
	// EC2 takes an associated branch too, and its association with it.
	associated := e.association != nil
	s.drop(e)
	if associated {
		return done{true}, s.changed()
	}
	return done{true}, nil
}

type attachENI struct {
	ID   string `xml:"attachmentId"`
	Card int    `xml:"networkCardIndex"`
}

func (s *Sim) attachNetworkInterface(q query) (any, error) {
	e, err := s.findENI(q)
	if err != nil {
		return nil, err
	}
	in := s.instances[q.str("InstanceId")]
	if in == nil {
		return nil, noInstance(q.str("InstanceId"))
	}
	device, err := q.number("DeviceIndex")
	if err != nil {
		return nil, err
	}
	card, err := q.number("NetworkCardIndex")
	if err != nil {
		return nil, err
	}
	limits, have := s.limits[in.kind], s.attached(in.id)
	if err := s.trunkFits(e, in, have); err != nil {
		return nil, err
	}
	switch {
	case e.status() != "available":
		return nil, &apiError{"InvalidParameterValue", fmt.Sprintf("Network interface '%s' is currently in use.", e.id), 400}
	case s.subnets[e.subnet].AZ != in.az:
		return nil, invalid("You may not attach a network interface to an instance if they are not in the same availability zone")
	case card != 0:
		return nil, invalid("Network card index %d exceeds the limit for %s", card, in.kind)
	case len(have) >= limits.ENIs:
		return nil, &apiError{"AttachmentLimitExceeded", fmt.Sprintf("Interface count %d exceeds the limit for %s", len(have)+1, in.kind), 400}
	case len(e.prefixes) > 0 && !s.takesPrefixes(in):
		return nil, noPrefixes(in)
	case len(e.addrs)+len(e.prefixes)+1 > limits.IPv4PerENI:
		return nil, &apiError{"PrivateIpAddressLimitExceeded", fmt.Sprintf("Number of private addresses exceeds the limit for %s", in.kind), 400}
	case slices.ContainsFunc(have, func(o *eni) bool { return o.attachment.device == device && o.attachment.card == card }):
		return nil, invalid("Instance '%s' already has an interface attached at device index '%d'.", in.id, device)
	}
	s.attach(e, &attachment{id: s.id("eni-attach-"), instance: in.id, card: card, device: device, at: time.Now()})
	return attachENI{e.attachment.id, card}, s.changed()
}

func (s *Sim) detachNetworkInterface(q query) (any, error) {
	id := q.str("AttachmentId")
	for _, e := range s.enis {
		if e.attachment == nil || e.attachment.id != id {
			continue
		}
		if err := e.detachable(); err != nil {
			return nil, err
		}
		if e.attachment.detaching {
			return done{true}, nil
		}
		return done{true}, s.detach(e, s.delay(s.topo.DetachDelay))
	}
	return nil, &apiError{"InvalidAttachmentID.NotFound", "The attachment '" + id + "' does not exist.", 400}
}

func (s *Sim) modifyNetworkInterfaceAttribute(q query) (any, error) {
	e, err := s.findENI(q)
	if err != nil {
		return nil, err
	}
	if id := q.str("Attachment.AttachmentId"); id != "" {
		if e.attachment == nil || e.attachment.id != id {
			return nil, &apiError{"InvalidAttachmentID.NotFound", "The attachment '" + id + "' does not exist.", 400}
		}
		e.attachment.deleteOnTermination = q.str("Attachment.DeleteOnTermination") == "true"
		return done{true}, nil
	}
	switch groups := q.list("SecurityGroupId"); {
	case len(groups) > 0:
		if err := errors.Join(s.checkGroups(groups), fewGroups(groups)); err != nil {
			return nil, err
		}
		e.groups = groups
	case q.has("SourceDestCheck.Value"):
		e.sourceDestCheck = q.str("SourceDestCheck.Value") == "true"
	case q.has("Description.Value"):
		e.description = q.str("Description.Value")
	default:
		return nil, missing("an attribute to modify")
	}
	return done{true}, s.changed()
}

type assignAddresses struct {
	ENI       string       `xml:"networkInterfaceId"`
	Addresses []xmlAddress `xml:"assignedPrivateIpAddressesSet>item"`
	Prefixes  []xmlPrefix  `xml:"assignedIpv4PrefixSet>item"`
	Return    bool         `xml:"return"`
}

func (s *Sim) createTags(q query) (any, error) {
	return s.eachTagged(q, func(e *eni, tags map[string]string) { maps.Copy(e.tags, tags) })
}

func (s *Sim) deleteTags(q query) (any, error) {
	return s.eachTagged(q, func(e *eni, tags map[string]string) {
		for k := range tags {
			delete(e.tags, k)
		}
	})
}

func (s *Sim) eachTagged(q query, f func(*eni, map[string]string)) (any, error) {
	ids := q.list("ResourceId")
	for _, id := range ids {
		if e := s.enis[id]; e == nil || s.unknown(e, time.Now()) {
			return nil, noENI(id)
		}
	}
	for _, id := range ids {
		f(s.enis[id], q.tags(""))
	}
	return done{true}, nil
}
