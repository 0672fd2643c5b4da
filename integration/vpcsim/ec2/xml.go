package ec2

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/vpcchain/vpcchain/integration/vpcsim/topology"
)

const owner = "123456789012"

type xmlTag struct {
	Key   string `xml:"key"`
	Value string `xml:"value"`
}

func xmlTags(tags map[string]string) []xmlTag {
	var out []xmlTag
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		out = append(out, xmlTag{k, tags[k]})
	}
	return out
}

type xmlGroupRef struct {
	ID   string `xml:"groupId"`
	Name string `xml:"groupName"`
}

type xmlAddress struct {
	Address string `xml:"privateIpAddress"`
	Primary bool   `xml:"primary"`
}

type xmlPrefix struct {
	Prefix string `xml:"ipv4Prefix"`
}

type xmlAttachment struct {
	ID                  string `xml:"attachmentId"`
	Instance            string `xml:"instanceId"`
	InstanceOwner       string `xml:"instanceOwnerId"`
	Device              int    `xml:"deviceIndex"`
	Card                int    `xml:"networkCardIndex"`
	Status              string `xml:"status"`
	Time                string `xml:"attachTime"`
	DeleteOnTermination bool   `xml:"deleteOnTermination"`
}

type xmlENI struct {
	ID               string         `xml:"networkInterfaceId"`
	Subnet           string         `xml:"subnetId"`
	VPC              string         `xml:"vpcId"`
	AZ               string         `xml:"availabilityZone"`
	Description      string         `xml:"description"`
	Owner            string         `xml:"ownerId"`
	Requester        string         `xml:"requesterId,omitempty"`
	RequesterManaged bool           `xml:"requesterManaged"`
	Status           string         `xml:"status"`
	MAC              string         `xml:"macAddress"`
	Primary          string         `xml:"privateIpAddress"`
	SourceDestCheck  bool           `xml:"sourceDestCheck"`
	Groups           []xmlGroupRef  `xml:"groupSet>item"`
	Attachment       *xmlAttachment `xml:"attachment"`
	Tags             []xmlTag       `xml:"tagSet>item"`
	Addresses        []xmlAddress   `xml:"privateIpAddressesSet>item"`
	Prefixes         []xmlPrefix    `xml:"ipv4PrefixSet>item"`
	Kind             string         `xml:"interfaceType"`
}

// status of a branch says whether it is associated: it has no attachment.
func (e *eni) status() string {
	if e.attachment != nil || e.host != "" || e.association != nil {
		return "in-use"
	}
	return "available"
}

// shownKind is InterfaceType: an ordinary ENI is a branch while it is associated.
func (e *eni) shownKind() string {
	if e.association != nil {
		return kindBranch
	}
	return e.kind
}

func (s *Sim) xmlENI(e *eni) xmlENI {
	x := xmlENI{
		ID: e.id, Subnet: e.subnet, VPC: s.topo.VPC.ID, AZ: s.subnets[e.subnet].AZ, Description: e.description, Owner: owner,
		Requester: e.requester, RequesterManaged: e.requester != "", Status: e.status(), MAC: e.mac, Primary: e.primary.String(),
		SourceDestCheck: e.sourceDestCheck, Tags: xmlTags(e.tags), Kind: e.shownKind(),
		Addresses: []xmlAddress{{e.primary.String(), true}},
	}
	for _, g := range e.groups {
		x.Groups = append(x.Groups, xmlGroupRef{g, g})
	}
	for _, a := range e.addrs {
		x.Addresses = append(x.Addresses, xmlAddress{a.String(), false})
	}
	for _, p := range e.prefixes {
		x.Prefixes = append(x.Prefixes, xmlPrefix{p.String()})
	}
	if a := e.attachment; a != nil {
		x.Attachment = &xmlAttachment{
			ID: a.id, Instance: a.instance, InstanceOwner: owner, Device: a.device, Card: a.card, Status: "attached",
			Time: a.at.UTC().Format(time.RFC3339), DeleteOnTermination: a.deleteOnTermination,
		}
		if a.detaching {
			x.Attachment.Status = "detaching"
		}
	}
	return x
}

type xmlSubnet struct {
	ID    string   `xml:"subnetId"`
	VPC   string   `xml:"vpcId"`
	State string   `xml:"state"`
	CIDR  string   `xml:"cidrBlock"`
	AZ    string   `xml:"availabilityZone"`
	Free  int      `xml:"availableIpAddressCount"`
	Tags  []xmlTag `xml:"tagSet>item"`
}

type xmlCIDRAssociation struct {
	CIDR  string `xml:"cidrBlock"`
	State string `xml:"cidrBlockState>state"`
}

type xmlVPC struct {
	ID    string               `xml:"vpcId"`
	State string               `xml:"state"`
	CIDR  string               `xml:"cidrBlock"`
	CIDRs []xmlCIDRAssociation `xml:"cidrBlockAssociationSet>item"`
}

type xmlPermission struct {
	Protocol string        `xml:"ipProtocol"`
	From     *int          `xml:"fromPort"`
	To       *int          `xml:"toPort"`
	Ranges   []xmlRange    `xml:"ipRanges>item"`
	Groups   []xmlGroupRef `xml:"groups>item"`
}

type xmlRange struct {
	CIDR string `xml:"cidrIp"`
}

type xmlGroup struct {
	ID      string          `xml:"groupId"`
	Name    string          `xml:"groupName"`
	VPC     string          `xml:"vpcId"`
	Ingress []xmlPermission `xml:"ipPermissions>item"`
	Egress  []xmlPermission `xml:"ipPermissionsEgress>item"`
}

func xmlPermissions(in []topology.Permission) []xmlPermission {
	var out []xmlPermission
	for _, p := range in {
		x := xmlPermission{Protocol: p.Protocol}
		if p.Protocol != "-1" {
			x.From, x.To = &p.FromPort, &p.ToPort
		}
		for _, c := range p.CIDRs {
			x.Ranges = append(x.Ranges, xmlRange{c.String()})
		}
		for _, g := range p.Groups {
			x.Groups = append(x.Groups, xmlGroupRef{ID: g})
		}
		out = append(out, x)
	}
	return out
}

type xmlReservation struct {
	ID        string        `xml:"reservationId"`
	Instances []xmlInstance `xml:"instancesSet>item"`
}

type xmlInstance struct {
	ID    string   `xml:"instanceId"`
	Kind  string   `xml:"instanceType"`
	State string   `xml:"instanceState>name"`
	Code  int      `xml:"instanceState>code"`
	IP    string   `xml:"privateIpAddress"`
	VPC   string   `xml:"vpcId"`
	AZ    string   `xml:"placement>availabilityZone"`
	Sub   string   `xml:"subnetId"`
	ENIs  []xmlENI `xml:"networkInterfaceSet>item"`
	Tags  []xmlTag `xml:"tagSet>item"`
}

func (s *Sim) xmlInstance(in *instance) xmlInstance {
	x := xmlInstance{ID: in.id, Kind: in.kind, State: "running", Code: 16, VPC: s.topo.VPC.ID, AZ: in.az, Tags: []xmlTag{{"Name", in.name}}}
	for _, e := range s.shown(time.Now(), s.attached(in.id)) {
		if e.Attachment == nil || e.Attachment.Instance != in.id {
			continue
		}
		if e.Attachment.Device == 0 && e.Attachment.Card == 0 {
			x.IP, x.Sub = e.Primary, e.Subnet
		}
		x.ENIs = append(x.ENIs, e)
	}
	slices.SortStableFunc(x.ENIs, func(a, b xmlENI) int {
		return cmp.Or(cmp.Compare(a.Attachment.Card, b.Attachment.Card), cmp.Compare(a.Attachment.Device, b.Attachment.Device))
	})
	return x
}

type xmlCard struct {
	Index int `xml:"networkCardIndex"`
	Max   int `xml:"maximumNetworkInterfaces"`
}

type xmlType struct {
	Name       string    `xml:"instanceType"`
	Hypervisor string    `xml:"hypervisor"`
	ENIs       int       `xml:"networkInfo>maximumNetworkInterfaces"`
	IPv4       int       `xml:"networkInfo>ipv4AddressesPerInterface"`
	Cards      []xmlCard `xml:"networkInfo>networkCards>item"`
}
