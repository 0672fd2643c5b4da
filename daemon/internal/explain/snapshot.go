// Package explain answers which way a packet goes, and why: the first packet of
// a new connection from one address to another is played through what the kernel
// has now – links, rules, routes, the chains of the outbound NAT – and through
// what the daemon knows of ENIs. Explain is a function of a Snapshot; Read makes
// one from the kernel. Nothing is changed and no packet is sent.
//
// Not played through are the DNAT of others (a service's ClusterIP: ask for the
// endpoint's address), filters of others, network policies, and what EC2 does
// beyond the source check of an ENI.
package explain

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/vpcchain/vpcchain/pkg/snat"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// Snapshot is what the way of a packet depends on.
type Snapshot struct {
	Links  []Link
	Addrs  []Addr
	Rules  []Rule // in the order in which the kernel asks them
	Routes []Route
	NAT    []snat.Chain
	// Primary is the MAC of the primary ENI's link; empty where nobody has told.
	Primary string
	// ENIs are the daemon's view; nil while it does not answer.
	ENIs []ENI
	// Homes are the ENIs that addresses are of by the daemon's last word, where it
	// does not answer: by which link a packet comes in from outside.
	Homes []Home
	// Branches are the branch ENIs of pods, from the daemon.
	Branches []Branch
	// Unread says what could not be read, and what the answer lacks for it.
	Unread []string
}

// Home is the ENI of addresses, by the MAC of its link.
type Home struct {
	Prefix netip.Prefix
	MAC    string
}

// Link is a link of the node.
type Link struct {
	Index      int
	Name       string
	MAC        string
	Alias      string
	Up         bool
	RPFilter   int  // the larger of the link's and that for all
	Forwarding bool // packets that come in here are forwarded
}

// Addr is an address of the node.
type Addr struct {
	Link   int
	Prefix netip.Prefix
}

// Rule is a policy rule.
type Rule struct {
	Priority   int
	Src, Dst   netip.Prefix // the zero Prefix is all
	In, Out    string
	Mark, Mask uint32
	Not        bool
	Table      int    // 0: none is looked up
	Drop       string // blackhole, unreachable, prohibit
	Unreadable string
}

// Route is a route of any table.
type Route struct {
	Table  int
	Kind   string // unicast, local, broadcast, blackhole, unreachable, prohibit, throw
	Dst    netip.Prefix
	Gw     netip.Addr
	Link   int
	Dev    string
	Src    netip.Addr
	Metric int
}

// ENI is an ENI as the daemon knows it.
type ENI struct {
	ID        string
	MAC       string
	Device    int
	Addresses []netip.Addr // the primary one, and those for pods
	Pods      map[netip.Addr]Pod
}

// Pod is who holds an address.
type Pod struct {
	Name       string // namespace/name; empty where the runtime told none
	Attachment vpcnet.Attachment
}

// Branch is a pod's own ENI.
type Branch struct {
	ID, Link string
	Groups   []string // security groups; none: only EC2 knows them
	Addr     netip.Addr
}

func (r Rule) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d: ", r.Priority)
	if r.Not {
		b.WriteString("not ")
	}
	b.WriteString("from " + orAll(r.Src))
	if r.Dst.IsValid() {
		b.WriteString(" to " + r.Dst.String())
	}
	if r.Mask != 0 {
		fmt.Fprintf(&b, " fwmark %#x/%#x", r.Mark, r.Mask)
	}
	if r.In != "" {
		b.WriteString(" iif " + r.In)
	}
	if r.Out != "" {
		b.WriteString(" oif " + r.Out)
	}
	if r.Drop != "" {
		return b.String() + " " + r.Drop
	}
	return b.String() + " lookup " + tableName(r.Table)
}

func orAll(p netip.Prefix) string {
	if !p.IsValid() {
		return "all"
	}
	return p.String()
}

func tableName(t int) string {
	switch t {
	case 253:
		return "default"
	case vpcnet.TableMain:
		return "main"
	case tableLocal:
		return "local"
	}
	return fmt.Sprint(t)
}

func (r Route) String() string {
	var b strings.Builder
	if r.Kind != unicast {
		b.WriteString(r.Kind + " ")
	}
	if r.Dst.Bits() == 0 {
		b.WriteString("default")
	} else {
		b.WriteString(r.Dst.String())
	}
	if r.Gw.IsValid() {
		b.WriteString(" via " + r.Gw.String())
	}
	if r.Dev != "" {
		b.WriteString(" dev " + r.Dev)
	}
	b.WriteString(" table " + tableName(r.Table))
	if r.Src.IsValid() {
		b.WriteString(" src " + r.Src.String())
	}
	return b.String()
}
