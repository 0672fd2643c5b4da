// Package eni has the domain values of the daemon: elastic network interfaces
// as EC2 describes them, and the limits of an instance type. It is a leaf.
package eni

import (
	"net/netip"
	"time"
)

// ENI is an elastic network interface attached to this instance.
type ENI struct {
	ID           string
	MAC          string // lower case, colons
	Card         int    // network card index
	Device       int    // device index on the card; 0 on card 0 is the primary ENI
	AttachmentID string
	SubnetID     string
	Subnet       netip.Prefix
	AZ           string
	Primary      netip.Addr
	Addresses    []netip.Addr   // secondary private addresses, as EC2 lists them
	Prefixes     []netip.Prefix // delegated /28 prefixes
	Groups       []string       // security group ids
	Type         string         // EC2 interface type: "interface", "trunk", "efa", …
	Tags         map[string]string
	Untold       bool // from IMDS, which has no tags: whose ENI it is EC2 has not told
	Missing      bool // kept for its pods, though EC2 did not list it when it was asked last
	Description  string
	Created      time.Time // from the createdAt tag; zero when unknown
	// DeleteOnTermination is whether EC2 deletes the ENI with the instance.
	DeleteOnTermination bool
}

// IsPrimary tells whether e is device 0 of card 0, which lives as long as the instance.
func (e ENI) IsPrimary() bool { return e.Card == 0 && e.Device == 0 }

// Limits are those of an instance type (EC2 DescribeInstanceTypes).
type Limits struct {
	ENIs       int // on network card 0
	IPv4PerENI int // addresses per ENI, the primary one included
	Hypervisor string
	Branches   int // branch ENIs on a trunk; 0: the type carries no trunk
}

// PrefixBits is the size of a delegated IPv4 prefix: a /28, 16 addresses.
const PrefixBits = 28

// Prefixes tells whether EC2 delegates prefixes to an instance of the type: one
// on Nitro or on bare metal, for which EC2 names no hypervisor.
func (l Limits) Prefixes() bool { return l.Hypervisor != "xen" }

// Secondary is how many addresses of an ENI can go to pods: all but the primary.
func (l Limits) Secondary() int { return max(l.IPv4PerENI-1, 0) }

// Node is what IMDS says about this instance.
type Node struct {
	InstanceID   string
	InstanceType string
	Region       string
	AZ           string
	VPCID        string
	VPCCIDRs     []netip.Prefix // IMDS order: the primary CIDR first
	PrimaryENI   string
	PrimaryMAC   string
	PrimaryIP    netip.Addr
	SubnetID     string
	Subnet       netip.Prefix
	Groups       []string // of the primary ENI
}

// CreateSpec asks EC2 for a new ENI.
type CreateSpec struct {
	SubnetID    string
	Groups      []string
	Addresses   int // secondary addresses to assign at once
	Prefixes    int // /28 prefixes to assign at once; not together with Addresses
	Description string
	Tags        map[string]string
	ClientToken string // makes a repeated call return the same ENI
	Type        string `json:",omitempty"` // TypeTrunk or TypeBranch; "": an ordinary one
}
