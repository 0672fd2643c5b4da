// Package network is the plan of the fabric: a plain value that says which
// subnets, routes, security groups and ports a VPC has at one moment. The EC2
// side computes it from its model after every change; the fabric compares it
// with the kernel and makes the difference. It does no I/O.
package network

import (
	"net/netip"
)

// VPC is the whole desired network. Apply(VPC) must be idempotent.
type VPC struct {
	CIDRs       []netip.Prefix // primary CIDR first
	Subnets     []Subnet
	RouteTables []RouteTable
	Groups      []SecurityGroup
	Ports       []Port
}

// Subnet is a subnet of the VPC; its router answers at CIDR base + 1.
type Subnet struct {
	ID         string
	CIDR       netip.Prefix
	AZ         string
	RouteTable string // RouteTable.ID
}

// RouteTable is a subnet route table. The local routes of the VPC's CIDRs are
// implied and always win, as in EC2.
type RouteTable struct {
	ID     string
	Routes []Route
}

// Route sends Dst to a target: the name of the gateway of external hosts, or
// the host of a NAT gateway's port.
type Route struct {
	Dst    netip.Prefix
	Target string
}

// SecurityGroup is a set of allow rules; what no rule allows is dropped.
type SecurityGroup struct {
	ID      string
	Ingress []Permission
	Egress  []Permission
}

// Permission allows a protocol and port range from (ingress) or to (egress)
// the listed CIDRs and the members of the listed groups.
type Permission struct {
	Protocol string // "-1" all, "tcp", "udp", "icmp"
	FromPort int    // 0 and 65535 (or -1) for all
	ToPort   int
	CIDRs    []netip.Prefix
	Groups   []string
}

// Port is one attached ENI: a link in an instance or host and the VPC's end of
// it. A branch ENI shares the link of its trunk: its packets carry a VLAN tag.
type Port struct {
	ENI             string
	Host            string // instance or service host that has the link
	Card            int
	Device          int
	Link            string // name inside the host: eth<device>; of a branch, its trunk's
	Kind            string // interface, trunk, branch or nat_gateway
	Trunk           string // of a branch: ENI id of its trunk
	VLAN            int    // of a branch: its 802.1Q id on the trunk's link; else 0
	Association     string // of a branch: id of its association with the trunk
	MAC             string
	MTU             int
	Subnet          string       // Subnet.ID
	Primary         netip.Addr   // the ENI's primary address
	Addresses       []netip.Addr // secondary addresses
	Prefixes        []netip.Prefix
	SourceDestCheck bool
	Groups          []string                  // SecurityGroup.ID
	PublicIPs       map[netip.Addr]netip.Addr // private address -> its public 1:1 mapping
	// NATGateway: routes can name Host, and no security group guards the port, as in AWS.
	NATGateway bool
}
