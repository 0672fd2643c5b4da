package ec2

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vpcchain/vpcchain/integration/vpcsim/topology"
)

type describeENIs struct {
	Items []xmlENI `xml:"networkInterfaceSet>item"`
	Next  string   `xml:"nextToken,omitempty"`
}

func (s *Sim) describeNetworkInterfaces(q query) (any, error) {
	ids, filters := q.list("NetworkInterfaceId"), q.filters()
	if err := q.notBoth("NetworkInterfaceId"); err != nil {
		return nil, err
	}
	shown := s.shown(time.Now(), s.narrow(ids, filters))
	for _, id := range ids {
		if !slices.ContainsFunc(shown, func(x xmlENI) bool { return x.ID == id }) {
			return nil, noENI(id)
		}
	}
	if _, err := matches(filters, nil, xmlENI{}.field); err != nil {
		return nil, err
	}
	var all []xmlENI
	for _, x := range shown {
		ok, err := matches(filters, x.tags(), x.field)
		if err != nil {
			return nil, err
		}
		if ok && (len(ids) == 0 || slices.Contains(ids, x.ID)) {
			all = append(all, x)
		}
	}
	part, next, err := page(s, q, mostResults, all, func(x xmlENI) string { return x.ID })
	return describeENIs{part, next}, err
}

// narrow are the ENIs that can be meant, where a filter says so that needs no
// comparison of all: those of an instance, and those that nobody has.
func (s *Sim) narrow(ids []string, filters []filter) []*eni {
	for _, f := range filters {
		if len(ids) > 0 || len(f.values) != 1 || strings.ContainsAny(f.values[0], "*?") {
			continue
		}
		switch {
		case f.name == "attachment.instance-id":
			return s.attached(f.values[0])
		case f.name == "status" && f.values[0] == "available":
			var out []*eni
			for _, e := range s.enis {
				if e.attachment == nil {
					out = append(out, e)
				}
			}
			return out
		}
	}
	return s.sortedENIs()
}

func (x xmlENI) tags() map[string]string {
	out := map[string]string{}
	for _, t := range x.Tags {
		out[t.Key] = t.Value
	}
	return out
}

// field is the ENI's value for a filter; an unknown filter has none.
func (x xmlENI) field(name string) ([]string, bool) {
	one := map[string]string{
		"network-interface-id": x.ID, "status": x.Status, "vpc-id": x.VPC, "subnet-id": x.Subnet, "availability-zone": x.AZ,
		"description": x.Description, "mac-address": x.MAC, "interface-type": x.Kind, "owner-id": x.Owner,
		"requester-managed": strconv.FormatBool(x.RequesterManaged), "private-ip-address": x.Primary,
	}
	if v, ok := one[name]; ok {
		return []string{v}, true
	}
	switch name {
	case "group-id":
		var out []string
		for _, g := range x.Groups {
			out = append(out, g.ID)
		}
		return out, true
	case "addresses.private-ip-address":
		var out []string
		for _, a := range x.Addresses {
			out = append(out, a.Address)
		}
		return out, true
	case "attachment.instance-id", "attachment.attachment-id", "attachment.device-index", "attachment.status":
		a := x.Attachment
		if a == nil {
			return nil, true
		}
		return []string{map[string]string{
			"attachment.instance-id": a.Instance, "attachment.attachment-id": a.ID,
			"attachment.device-index": strconv.Itoa(a.Device), "attachment.status": a.Status,
		}[name]}, true
	}
	return nil, false
}

type describeSubnets struct {
	Items []xmlSubnet `xml:"subnetSet>item"`
	Next  string      `xml:"nextToken,omitempty"`
}

func (s *Sim) describeSubnets(q query) (any, error) {
	ids, filters := q.list("SubnetId"), q.filters()
	for _, id := range ids {
		if s.subnets[id] == nil {
			return nil, &apiError{"InvalidSubnetID.NotFound", "The subnet ID '" + id + "' does not exist", 400}
		}
	}
	var all []xmlSubnet
	for _, t := range s.topo.Subnets {
		sn := s.subnets[t.ID]
		ok, err := matches(filters, sn.Tags, func(name string) ([]string, bool) {
			v, ok := map[string]string{
				"vpc-id": s.topo.VPC.ID, "subnet-id": sn.ID, "availability-zone": sn.AZ, "cidr-block": sn.CIDR.String(), "state": "available",
			}[name]
			return []string{v}, ok
		})
		if err != nil {
			return nil, err
		}
		if ok && (len(ids) == 0 || slices.Contains(ids, sn.ID)) {
			all = append(all, xmlSubnet{
				ID: sn.ID, VPC: s.topo.VPC.ID, State: "available", CIDR: sn.CIDR.String(), AZ: sn.AZ, Free: sn.free(), Tags: xmlTags(sn.Tags),
			})
		}
	}
	part, next, err := page(s, q, mostResults, all, func(x xmlSubnet) string { return x.ID })
	return describeSubnets{part, next}, err
}

type describeVPCs struct {
	Items []xmlVPC `xml:"vpcSet>item"`
	Next  string   `xml:"nextToken,omitempty"`
}

func (s *Sim) describeVpcs(q query) (any, error) {
	for _, id := range q.list("VpcId") {
		if id != s.topo.VPC.ID {
			return nil, &apiError{"InvalidVpcID.NotFound", "The vpc ID '" + id + "' does not exist", 400}
		}
	}
	v := xmlVPC{ID: s.topo.VPC.ID, State: "available", CIDR: s.cidrs[0].String()}
	for _, c := range s.cidrs {
		v.CIDRs = append(v.CIDRs, xmlCIDRAssociation{c.String(), "associated"})
	}
	part, next, err := page(s, q, mostResults, []xmlVPC{v}, func(x xmlVPC) string { return x.ID })
	return describeVPCs{part, next}, err
}

type describeGroups struct {
	Items []xmlGroup `xml:"securityGroupInfo>item"`
	Next  string     `xml:"nextToken,omitempty"`
}

func (s *Sim) describeSecurityGroups(q query) (any, error) {
	ids, filters := q.list("GroupId"), q.filters()
	var out describeGroups
	for _, g := range s.topo.SecurityGroups {
		ok, err := matches(filters, nil, func(name string) ([]string, bool) {
			v, ok := map[string]string{"vpc-id": s.topo.VPC.ID, "group-id": g.ID, "group-name": g.ID}[name]
			return []string{v}, ok
		})
		if err != nil {
			return nil, err
		}
		if ok && (len(ids) == 0 || slices.Contains(ids, g.ID)) {
			out.Items = append(out.Items, xmlGroup{
				ID: g.ID, Name: g.ID, VPC: s.topo.VPC.ID, Ingress: xmlPermissions(g.Ingress), Egress: xmlPermissions(g.Egress),
			})
		}
	}
	for _, id := range ids {
		if !slices.ContainsFunc(s.topo.SecurityGroups, func(g topology.SecurityGroup) bool { return g.ID == id }) {
			return nil, noGroup(id)
		}
	}
	var err error
	out.Items, out.Next, err = page(s, q, mostResults, out.Items, func(x xmlGroup) string { return x.ID })
	return out, err
}

type describeInstances struct {
	Items []xmlReservation `xml:"reservationSet>item"`
	Next  string           `xml:"nextToken,omitempty"`
}

func (s *Sim) describeInstances(q query) (any, error) {
	ids, filters := q.list("InstanceId"), q.filters()
	if err := q.notBoth("InstanceId"); err != nil {
		return nil, err
	}
	for _, id := range ids {
		if s.instances[id] == nil {
			return nil, noInstance(id)
		}
	}
	var all []xmlReservation
	for _, id := range slices.Sorted(maps.Keys(s.instances)) {
		in := s.instances[id]
		ok, err := matches(filters, map[string]string{"Name": in.name}, func(name string) ([]string, bool) {
			v, ok := map[string]string{
				"instance-id": in.id, "instance-type": in.kind, "vpc-id": s.topo.VPC.ID, "instance-state-name": "running", "availability-zone": in.az,
			}[name]
			return []string{v}, ok
		})
		if err != nil {
			return nil, err
		}
		if ok && (len(ids) == 0 || slices.Contains(ids, id)) {
			all = append(all, xmlReservation{ID: "r-" + id[2:], Instances: []xmlInstance{s.xmlInstance(in)}})
		}
	}
	part, next, err := page(s, q, mostResults, all, func(x xmlReservation) string { return x.Instances[0].ID })
	return describeInstances{part, next}, err
}

// attached lists an instance's ENIs, the primary one first.
func (s *Sim) attached(instance string) []*eni {
	var out []*eni
	for _, e := range s.carries[instance] {
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b *eni) int {
		return (a.attachment.card*1000 + a.attachment.device) - (b.attachment.card*1000 + b.attachment.device)
	})
	return out
}

type describeTypes struct {
	Items []xmlType `xml:"instanceTypeSet>item"`
	Next  string    `xml:"nextToken,omitempty"`
}

func (s *Sim) describeInstanceTypes(q query) (any, error) {
	names := q.list("InstanceType")
	for _, n := range names {
		if _, ok := s.limits[n]; !ok {
			return nil, &apiError{"InvalidInstanceType", "The following supplied instance types do not exist: [" + n + "]", 400}
		}
	}
	if len(names) == 0 {
		names = slices.Sorted(maps.Keys(s.limits))
	}
	var all []xmlType
	for _, n := range names {
		l := s.limits[n]
		all = append(all, xmlType{Name: n, Hypervisor: l.Hypervisor, ENIs: l.ENIs, IPv4: l.IPv4PerENI, Cards: []xmlCard{{0, l.ENIs}}})
	}
	part, next, err := page(s, q, mostTypes, all, func(x xmlType) string { return x.Name })
	return describeTypes{part, next}, err
}
