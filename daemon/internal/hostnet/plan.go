// Package hostnet keeps the node's part of the kernel as vpc-ipamd wants it:
// links and addresses of secondary ENIs, their routing tables, the policy rules
// 512, 1535, 1536 and 32765, pod routes in table 5120, and two sysctls.
//
// The wanted state is a value (Desired). Sync reads the kernel once, computes
// the difference as a list of steps (pure, in diff.go), and carries the steps
// out. What is right already is not touched, what is new comes before what is
// old, and what other programs made is left alone.
//
// It does not decide which address a pod gets, does not talk to EC2, and does
// not make host veths: vpc-veth does. SNAT is not here either; it has a writer
// of its own.
package hostnet

import (
	"fmt"
	"net/netip"
	"strings"
)

// Desired is the state that Sync makes true.
type Desired struct {
	// Primary is the address of the primary ENI: the source of pod routes.
	Primary netip.Addr
	// PrimaryMAC finds the primary ENI's link. Its addresses are never touched.
	PrimaryMAC string
	// MTU of the ENI links in bytes; 0 leaves them as they are.
	MTU int
	// ENIs that are attached. The primary one (card 0, device 0) may be among
	// them: it is observed and gets the MTU, nothing else.
	ENIs []ENI
	// From are the sources that must leave by an ENI's table (rule 1536).
	// Adjacent aligned addresses of a table are merged; a wider prefix is one
	// rule. An entry with table main is ignored: that is where such a packet goes
	// anyway.
	From []From
	// External are destinations that always use table main (rule 1535).
	External []netip.Prefix
	// Pods are the pod routes of table 5120 that must exist.
	Pods []Pod
}

// ENI is what the kernel side needs to know of an attached ENI.
type ENI struct {
	ID      string
	MAC     string // lower case, colons
	Card    int
	Device  int
	Primary netip.Addr   // its primary private address
	Subnet  netip.Prefix // its subnet; the router is the base address plus one
	MTU     int          // in bytes; 0 means Desired.MTU
}

// IsPrimary tells whether e is device 0 of card 0.
func (e ENI) IsPrimary() bool { return e.Card == 0 && e.Device == 0 }

// From sends packets from Prefix to Table.
type From struct {
	Prefix netip.Prefix
	Table  int
}

// Pod is the address of a pod and the host end of its veth.
type Pod struct {
	Addr     netip.Addr
	HostVeth string
}

// Observed is the kernel as Sync left it.
type Observed struct {
	// Primary is the primary ENI's link.
	Primary Link
	// ENIs has the link of every desired ENI, by ENI id.
	ENIs map[string]Link
	// Repaired says each change that was made, in order; empty when the kernel
	// was as desired.
	Repaired []string
	// Healed counts, by kind of object, those of Repaired that put back what was so
	// after the Sync before and was wanted then and now: what somebody else has changed.
	Healed map[string]int
	// Degraded says what is not as desired and why.
	Degraded []string
}

// Link is the kernel link of an ENI.
type Link struct {
	Name   string
	Index  int
	MTU    int // in bytes
	Ready  bool
	Reason string // why it is not ready, or empty
}

// String is the desired state as text, one object a line.
func (d Desired) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "primary %s mac %s mtu %d\n", d.Primary, d.PrimaryMAC, d.MTU)
	for _, e := range d.ENIs {
		fmt.Fprintf(&b, "eni %s mac %s card %d device %d address %s subnet %s\n", e.ID, e.MAC, e.Card, e.Device, e.Primary, e.Subnet)
	}
	for _, p := range d.External {
		fmt.Fprintf(&b, "to %s lookup main\n", p)
	}
	for _, f := range d.From {
		fmt.Fprintf(&b, "from %s lookup %d\n", f.Prefix, f.Table)
	}
	for _, p := range d.Pods {
		fmt.Fprintf(&b, "pod %s dev %s\n", p.Addr, p.HostVeth)
	}
	return b.String()
}
