// Package rebuild brings the books back when the state file is new: lost,
// damaged and moved aside, or never there because the stock AWS VPC CNI ran the
// node so far. Who holds which address is read from the kernel and from the
// stock daemon's checkpoint.
//
// It is also asked when the books are good: an address that the kernel uses for
// a pod and that nobody holds is withheld, so that no second pod gets it.
package rebuild

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/checkpoint"
	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/daemon/internal/hostnet"
	"github.com/vpcchain/vpcchain/daemon/internal/pool"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// Input of Decide.
type Input struct {
	ENIs []eni.ENI
	// Known is what the books hold already; it is not changed.
	Known []pool.Allocation
	// Fresh: the books are new, so what the kernel shows is taken into them.
	Fresh bool
	// Used: a daemon of ours gave addresses on this node since it booted, though
	// the books are new. When it got them back is lost, so all free ones rest.
	Used       bool
	Seen       []hostnet.Witness
	Stock      []checkpoint.Entry
	VethPrefix string
	Now        time.Time
}

// Alias is one to write on a veth of the stock CNI.
type Alias struct {
	Link       string
	Attachment vpcnet.Attachment
}

// Plan is what to take into the books.
type Plan struct {
	Held     []pool.Allocation
	Rested   []netip.Addr          // may have had a pod, and have none that is known: they rest again
	Withheld map[netip.Addr]string // the kernel uses them: no pod may get them; says why
	Aliases  []Alias
	Dropped  []string // entries of the checkpoint that are not taken, and why
}

// String is the plan as text, one line each.
func (p Plan) String() string {
	var b strings.Builder
	for _, h := range p.Held {
		fmt.Fprintf(&b, "hold %s of %q for %s link %q netns %q\n", h.Addr, h.ENI, h.Attachment, h.Pod.HostVeth, h.Pod.Netns)
	}
	for _, a := range p.Rested {
		fmt.Fprintf(&b, "rest %s\n", a)
	}
	for _, a := range slices.SortedFunc(maps.Keys(p.Withheld), netip.Addr.Compare) {
		fmt.Fprintf(&b, "withhold %s: %s\n", a, p.Withheld[a])
	}
	for _, a := range p.Aliases {
		fmt.Fprintf(&b, "alias %s on %s\n", a.Attachment, a.Link)
	}
	for _, d := range p.Dropped {
		fmt.Fprintf(&b, "drop %s\n", d)
	}
	return b.String()
}

// Decide computes the plan. Where traces disagree nobody gets the address, and
// it is given to nobody else.
func Decide(in Input) Plan {
	b := newBooks(in)
	if in.Fresh {
		b.fromAliases()
		for _, e := range in.Stock {
			b.fromStock(e)
		}
		b.rest()
	}
	b.withhold()
	slices.SortFunc(b.plan.Held, func(x, y pool.Allocation) int { return x.Addr.Compare(y.Addr) })
	return b.plan
}

// books is the work of one Decide.
type books struct {
	in     Input
	plan   Plan
	byAddr map[netip.Addr]vpcnet.Attachment
	byWhom map[vpcnet.Attachment]bool
	links  map[string][]netip.Addr // host ends with their routed addresses
	alias  map[string]bool         // host ends that have one
	netns  map[netip.Addr][]string
}

func newBooks(in Input) *books {
	b := &books{
		in: in, plan: Plan{Withheld: map[netip.Addr]string{}}, byAddr: map[netip.Addr]vpcnet.Attachment{},
		byWhom: map[vpcnet.Attachment]bool{}, links: map[string][]netip.Addr{}, alias: map[string]bool{}, netns: map[netip.Addr][]string{},
	}
	for _, h := range in.Known {
		b.byAddr[h.Addr], b.byWhom[h.Attachment] = h.Attachment, true
	}
	for _, w := range in.Seen {
		if w.Netns != "" {
			b.netns[w.Addr] = append(b.netns[w.Addr], w.Netns)
		}
		if w.Link == "" {
			continue
		}
		b.links[w.Link] = append(b.links[w.Link], valid(w.Addr)...)
		b.alias[w.Link] = b.alias[w.Link] || w.Attachment != vpcnet.Attachment{}
	}
	return b
}

func valid(a netip.Addr) []netip.Addr {
	if a.IsValid() {
		return []netip.Addr{a}
	}
	return nil
}

// fromAliases takes the veths of vpc-veth: alias and pod route.
func (b *books) fromAliases() {
	claims := map[netip.Addr][]vpcnet.Attachment{}
	ours := slices.DeleteFunc(slices.Clone(b.in.Seen), func(w hostnet.Witness) bool {
		return !w.Addr.IsValid() || w.Attachment == vpcnet.Attachment{} || b.owner(w.Addr) == nil
	})
	for _, w := range ours {
		if !slices.Contains(claims[w.Addr], w.Attachment) {
			claims[w.Addr] = append(claims[w.Addr], w.Attachment)
		}
	}
	// Of two addresses of an attachment the one that a namespace really has goes first.
	slices.SortStableFunc(ours, func(x, y hostnet.Witness) int {
		return cmp.Or(-cmp.Compare(len(b.netns[x.Addr]), len(b.netns[y.Addr])), x.Addr.Compare(y.Addr))
	})
	for _, w := range ours {
		if _, held := b.byAddr[w.Addr]; held || b.byWhom[w.Attachment] || len(claims[w.Addr]) > 1 {
			continue
		}
		b.hold(pool.Allocation{Attachment: w.Attachment, Addr: w.Addr, Pod: pool.Pod{HostVeth: w.Link}, Since: b.in.Now})
	}
}

// fromStock takes an entry of the checkpoint whose veth is there. The name of a
// veth is made of the pod's: a StatefulSet's pod that was made again has the
// veth of its predecessor's name, and another address.
func (b *books) fromStock(e checkpoint.Entry) {
	veth := vpcnet.HostVethName(b.in.VethPrefix, e.Namespace, e.Name, e.Attachment.ContainerID, e.Attachment.IfName)
	addrs, there := b.links[veth]
	holder, held := b.byAddr[e.Addr]
	why := ""
	switch {
	case held && holder == e.Attachment:
		return // its veth has our alias: taken from there
	case !there:
		why = "its host veth " + veth + " is gone"
	case len(addrs) > 0 && !slices.Contains(addrs, e.Addr):
		why = fmt.Sprintf("its host veth %s leads to %s", veth, addrs[0])
	case held || b.byWhom[e.Attachment]:
		why = "the kernel shows another holder"
	}
	if why != "" {
		b.plan.Dropped = append(b.plan.Dropped, e.String()+": "+why)
		return
	}
	b.hold(pool.Allocation{
		Attachment: e.Attachment, Addr: e.Addr, Since: e.Since,
		Pod: pool.Pod{Namespace: e.Namespace, Name: e.Name, HostVeth: veth},
	})
	if !b.alias[veth] {
		b.alias[veth] = true
		b.plan.Aliases = append(b.plan.Aliases, Alias{veth, e.Attachment})
	}
}

func (b *books) hold(h pool.Allocation) {
	if e := b.owner(h.Addr); e != nil {
		h.ENI = e.ID
	}
	if paths := b.netns[h.Addr]; len(paths) == 1 {
		h.Pod.Netns = paths[0]
	}
	b.plan.Held = append(b.plan.Held, h)
	b.byAddr[h.Addr], b.byWhom[h.Attachment] = h.Attachment, true
}

// owner is the ENI that carries the address.
func (b *books) owner(a netip.Addr) *eni.ENI {
	for i, e := range b.in.ENIs {
		inPrefix := func(p netip.Prefix) bool { return p.Contains(a) }
		if slices.Contains(e.Addresses, a) || slices.ContainsFunc(e.Prefixes, inPrefix) {
			return &b.in.ENIs[i]
		}
	}
	return nil
}

// rest lets addresses rest that a pod may have had a moment ago: when they were
// released is lost. A rule tells of its address; one of the primary ENI has none.
func (b *books) rest() {
	var had []netip.Addr
	for _, w := range b.in.Seen {
		if w.Rule && b.owner(w.Addr) != nil {
			had = append(had, w.Addr)
		}
	}
	if b.in.Used {
		for _, e := range b.in.ENIs {
			had = append(had, e.Addresses...)
			for _, p := range e.Prefixes {
				for a := p.Addr(); p.Contains(a); a = a.Next() {
					had = append(had, a)
				}
			}
		}
	}
	for _, a := range had {
		if _, held := b.byAddr[a]; !held && !slices.Contains(b.plan.Rested, a) {
			b.plan.Rested = append(b.plan.Rested, a)
		}
	}
}

// withhold keeps from the pods what the kernel uses and nobody holds. An address
// that no ENI has now, because somebody detached its ENI, may come back from EC2.
func (b *books) withhold() {
	for _, w := range b.in.Seen {
		if _, held := b.byAddr[w.Addr]; held || w.Rule || !w.Addr.IsValid() || !b.mayCome(w.Addr) {
			continue
		}
		b.plan.Withheld[w.Addr] = note(w)
	}
}

// mayCome tells whether the ENIs have the address, or EC2 may give it to them.
func (b *books) mayCome(a netip.Addr) bool {
	inSubnet := func(e eni.ENI) bool { return e.Subnet.Contains(a) && e.Primary != a }
	return b.owner(a) != nil || slices.ContainsFunc(b.in.ENIs, inSubnet)
}

// note says where the address is seen and what ends it.
func note(w hostnet.Witness) string {
	switch {
	case w.Netns != "":
		return "in use in network namespace " + w.Netns + " of a pod that is not in the books; free when the namespace is gone"
	case w.Attachment != vpcnet.Attachment{}:
		return fmt.Sprintf("link %s of %s leads to it, which is not in the books; free when the link is gone", w.Link, w.Attachment)
	}
	return "link " + w.Link + " leads to it, whose pod is not known; free when the link is gone"
}
