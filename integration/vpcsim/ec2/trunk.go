package ec2

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Types of ENIs, as InterfaceType shows them.
const (
	kindInterface = "interface"
	kindTrunk     = "trunk"
	kindBranch    = "branch"
	kindNAT       = "nat_gateway"
)

// lastVLAN is the highest 802.1Q id that a frame can carry; 4095 is reserved (IEEE 802.1Q).
const lastVLAN = 4094

// mostAssociations is the most of MaxResults of DescribeTrunkInterfaceAssociations (EC2 API reference).
const mostAssociations = 255

// association makes a branch ENI a VLAN of a trunk ENI.
type association struct {
	id, trunk, branch string
	vlan              int
	at                time.Time
	gone              time.Time // set: it has ended, and Describe* may still show it
}

func noAssociation(id string) error {
	return &apiError{"InvalidAssociationID.NotFound", "The association ID '" + id + "' does not exist", 400}
}

// creationType reads InterfaceType of CreateNetworkInterface.
func creationType(q query) (string, error) {
	switch kind := cmp.Or(q.str("InterfaceType"), kindInterface); kind {
	case kindInterface, kindTrunk, kindBranch:
		return kind, nil
	default:
		return "", invalid("Value (%s) for parameter interfaceType is invalid: this region has no such adapters", kind)
	}
}

// trunkFits refuses what an instance cannot carry: a trunk on a type without
// trunking, a second trunk, a branch that has no link of its own.
func (s *Sim) trunkFits(e *eni, in *instance, have []*eni) error {
	switch {
	case e.kind == kindBranch:
		return invalid("Network interface '%s' is a branch: associate it with a trunk interface instead.", e.id)
	case e.kind != kindTrunk:
		return nil
	case s.limits[in.kind].Branches == 0:
		return &apiError{"UnsupportedOperation", "The instance type '" + in.kind + "' does not support trunk network interfaces.", 400}
	case slices.ContainsFunc(have, func(o *eni) bool { return o.kind == kindTrunk }):
		return &apiError{"AttachmentLimitExceeded", "Instance '" + in.id + "' has a trunk network interface already.", 400}
	}
	return nil
}

// named finds the ENI that a parameter names.
func (s *Sim) named(q query, parameter string) (*eni, error) {
	id := q.str(parameter)
	if id == "" {
		return nil, missing(parameter)
	}
	e := s.enis[id]
	if e == nil || s.unknown(e, time.Now()) {
		return nil, noENI(id)
	}
	return e, nil
}

type associateTrunk struct {
	Association xmlAssociation `xml:"interfaceAssociation"`
	Token       string         `xml:"clientToken,omitempty"`
}

func (s *Sim) associateTrunkInterface(q query) (any, error) {
	clientToken := q.str("ClientToken")
	if t, ok := s.tokens[clientToken]; ok && clientToken != "" {
		if err := t.check(q); err != nil {
			return nil, err
		}
		a := s.associations[t.id]
		if a == nil || !a.gone.IsZero() {
			return nil, noAssociation(t.id)
		}
		return associateTrunk{a.xml(), clientToken}, nil
	}
	trunk, err := s.named(q, "TrunkInterfaceId")
	if err != nil {
		return nil, err
	}
	branch, err := s.named(q, "BranchInterfaceId")
	if err != nil {
		return nil, err
	}
	vlan, err := vlanID(q)
	if err != nil {
		return nil, err
	}
	if err := s.associable(trunk, branch, vlan); err != nil {
		return nil, err
	}
	a := &association{id: s.id("trunk-assoc-"), trunk: trunk.id, branch: branch.id, vlan: vlan, at: time.Now()}
	s.associations[a.id], branch.association = a, a
	if clientToken != "" {
		s.tokens[clientToken] = token{params(q), a.id}
	}
	return associateTrunk{a.xml(), clientToken}, s.changed()
}

func vlanID(q query) (int, error) {
	if q.has("GreKey") {
		return 0, &apiError{"UnsupportedOperation", "Trunk interfaces of this region speak VLAN, not GRE.", 400}
	}
	if !q.has("VlanId") {
		return 0, missing("vlanId")
	}
	vlan, err := q.number("VlanId")
	if err == nil && (vlan < 1 || vlan > lastVLAN) {
		err = invalid("Value (%d) for parameter vlanId is invalid. Expecting a value between 1 and %d.", vlan, lastVLAN)
	}
	return vlan, err
}

// associable tells why the branch cannot become the VLAN of the trunk. An
// ordinary ENI becomes a branch by its association, as the VPC resource
// controller makes them.
func (s *Sim) associable(trunk, branch *eni, vlan int) error {
	switch {
	case trunk.kind != kindTrunk:
		return invalid("Network interface '%s' is not a trunk.", trunk.id)
	case branch.kind != kindBranch && branch.kind != kindInterface:
		return invalid("Network interface '%s' of type %s cannot be a branch.", branch.id, branch.kind)
	case branch.status() != "available":
		return invalid("Network interface '%s' is currently in use.", branch.id)
	case trunk.attachment == nil || trunk.attachment.detaching:
		return &apiError{"IncorrectState", "The trunk interface '" + trunk.id + "' is not attached to an instance.", 400}
	case s.subnets[trunk.subnet].AZ != s.subnets[branch.subnet].AZ:
		return invalid("The trunk and the branch interface are not in the same availability zone")
	}
	in, n := s.instances[trunk.attachment.instance], 0
	for _, a := range s.associations {
		if a.trunk != trunk.id || !a.gone.IsZero() {
			continue
		}
		if n++; a.vlan == vlan {
			// Code and text as EC2 gives them.
			return &apiError{"InvalidVlanId.Duplicate", fmt.Sprintf("VlanId '%d' is in use", vlan), 400}
		}
	}
	if most := s.limits[in.kind].Branches; n >= most {
		return &apiError{"ResourceLimitExceeded", fmt.Sprintf("Branch interface count %d exceeds the limit of %d for %s", n+1, most, in.kind), 400}
	}
	return nil
}

type disassociateTrunk struct {
	Return bool   `xml:"return"`
	Token  string `xml:"clientToken,omitempty"`
}

func (s *Sim) disassociateTrunkInterface(q query) (any, error) {
	id, clientToken := q.str("AssociationId"), q.str("ClientToken")
	if id == "" {
		return nil, missing("associationId")
	}
	if t, ok := s.tokens[clientToken]; ok && clientToken != "" {
		return disassociateTrunk{true, clientToken}, t.check(q)
	}
	a := s.associations[id]
	if a == nil || !a.gone.IsZero() {
		return nil, noAssociation(id)
	}
	s.end(a)
	if clientToken != "" {
		s.tokens[clientToken] = token{params(q), id}
	}
	return disassociateTrunk{true, clientToken}, s.changed()
}

// end takes the branch off its trunk.
func (s *Sim) end(a *association) {
	a.gone = time.Now()
	if e := s.enis[a.branch]; e != nil {
		e.association = nil
	}
}

// endAll ends what an ENI has part in: its own association as a branch, and as
// a trunk those of its branches.
func (s *Sim) endAll(e *eni) {
	for _, a := range s.associations {
		if a.gone.IsZero() && (a.branch == e.id || a.trunk == e.id) {
			s.end(a)
		}
	}
}

// forget drops the associations that no Describe* shows any more.
func (s *Sim) forget(now time.Time) {
	maps.DeleteFunc(s.associations, func(_ string, a *association) bool {
		return !a.gone.IsZero() && now.Sub(a.gone) >= s.delay(s.topo.ChangeDelay)
	})
}

type xmlAssociation struct {
	ID       string `xml:"associationId"`
	Branch   string `xml:"branchInterfaceId"`
	Trunk    string `xml:"trunkInterfaceId"`
	Protocol string `xml:"interfaceProtocol"`
	VLAN     int    `xml:"vlanId"`
}

func (a *association) xml() xmlAssociation {
	return xmlAssociation{a.id, a.branch, a.trunk, "VLAN", a.vlan}
}

type describeAssociations struct {
	Items []xmlAssociation `xml:"interfaceAssociationSet>item"`
	Next  string           `xml:"nextToken,omitempty"`
}

func (s *Sim) describeTrunkInterfaceAssociations(q query) (any, error) {
	ids, filters, now := q.list("AssociationId"), q.filters(), time.Now()
	if err := q.notBoth("AssociationId"); err != nil {
		return nil, err
	}
	var all []xmlAssociation
	for _, a := range s.associations {
		// The API reference names these filters and no others: none by trunk or branch.
		ok, err := matches(filters, nil, func(name string) ([]string, bool) {
			v, ok := map[string][]string{"interface-protocol": {"VLAN"}, "gre-key": nil}[name]
			return v, ok
		})
		if err != nil {
			return nil, err
		}
		if ok && s.shows(a, now) && (len(ids) == 0 || slices.Contains(ids, a.id)) {
			all = append(all, a.xml())
		}
	}
	for _, id := range ids {
		if a := s.associations[id]; a == nil || !s.shows(a, now) {
			return nil, noAssociation(id)
		}
	}
	part, next, err := page(s, q, mostAssociations, all, func(x xmlAssociation) string { return x.ID })
	return describeAssociations{part, next}, err
}

// shows tells whether Describe* lists the association while changes show late.
func (s *Sim) shows(a *association, now time.Time) bool {
	late := s.delay(s.topo.ChangeDelay)
	return now.Sub(a.at) >= late && (a.gone.IsZero() || now.Sub(a.gone) < late)
}

// carrier is the attachment whose link carries the ENI's packets: its own, or
// that of a branch's trunk; nil while there is no link.
func (s *Sim) carrier(e *eni) *attachment {
	if e.association != nil {
		e = s.enis[e.association.trunk]
	}
	if e == nil || e.attachment == nil || e.attachment.detaching {
		return nil
	}
	return e.attachment
}
