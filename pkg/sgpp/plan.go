package sgpp

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// The reasons why a branch cannot be made now. A trunk's link appears some time
// after EC2 says that it is attached; a host veth goes when another sandbox of
// its pod takes the name.
var (
	ErrNoTrunk = errors.New("no link has the trunk ENI's MAC")
	ErrNoVeth  = errors.New("the host veth is not there")
	ErrTaken   = errors.New("the name of the VLAN link belongs to another program")
)

// planAdd are the steps that make the branch.
func planAdd(s state, b Branch, n Node) ([]step, error) {
	trunk, ok := s.byMAC(n.TrunkMAC)
	if !ok {
		return nil, fmt.Errorf("%w %s: see whether the trunk ENI is attached to this node", ErrNoTrunk, n.TrunkMAC)
	}
	veth, ok := s.byName(b.HostVeth)
	if !ok || veth.Alias != b.Attachment.Alias() {
		return nil, fmt.Errorf("%w: %s is not of %s (alias %q)", ErrNoVeth, b.HostVeth, b.Attachment, veth.Alias)
	}
	steps, err := s.clear(b)
	if err != nil {
		return nil, err
	}
	if !trunk.Up {
		steps = append(steps, step{verb: linkUp, link: trunk})
	}
	return s.settle(s.after(steps).make(steps, b, n, trunk, veth)), nil
}

// make adds the steps that make all of the branch, the host veth's coming up
// almost last: a pod whose ADD did not get that far has no way out. The routes by
// the host veth need it up.
func (s state) make(steps []step, b Branch, n Node, trunk, veth link) []step {
	vlan := link{
		Name: b.Link(), Kind: "vlan", VLAN: b.VLAN, Parent: trunk.Index, MAC: b.MAC, MTU: trunk.MTU, Alias: b.Attachment.Alias(),
	}
	steps = append(steps, step{verb: addLink, link: vlan}, step{verb: noIPv6, link: vlan}, step{verb: claim, link: vlan})
	for _, r := range b.wayOut() {
		steps = append(steps, step{verb: putRoute, route: r})
	}
	up := []step{{verb: linkUp, link: veth}, {verb: putRoute, route: b.wayIn(n)}}
	rules := b.rules()
	if !b.strict() {
		return append(s.addRules(steps, podsRule(), rules[0]), up...)
	}
	// A route there would lead the node, and other pods, past the security groups.
	steps = append(steps, step{verb: delRoute, route: route{Table: vpcnet.TablePods, Dst: vpcnet.Host(b.Addr)}})
	return s.addRules(append(s.addRules(steps, rules[0]), up...), rules[1])
}

func (s state) addRules(steps []step, rules ...rule) []step {
	for _, r := range rules {
		if !slices.Contains(s.rules, r) {
			steps = append(steps, step{verb: addRule, rule: r})
		}
	}
	return steps
}

// podsRule leads to the pods' routes; vpc-veth adds the same.
func podsRule() rule {
	return rule{Priority: vpcnet.RulePods, Table: vpcnet.TablePods, Protocol: vpcnet.RouteProtocol, Plain: true}
}

// clear are the steps that take away what stands where the branch is to be: an
// older branch with its VLAN id, whoever made it, since EC2 has given the id
// away; what an older sandbox of the pod has left in rules that name its veth or
// its address; and half-made links.
func (s state) clear(b Branch) ([]step, error) {
	var r removal
	if l, ok := s.byName(b.Link()); ok {
		if _, vlan := l.branch(); !vlan {
			return nil, fmt.Errorf("%w: %s is of type %s: remove or rename it", ErrTaken, l.Name, l.Kind)
		}
		r.branch(s, l)
	}
	r.halfMade(s)
	for _, have := range s.rules {
		_, branch := have.branch()
		if branch && (have.Table == b.table() || have.IIF == b.HostVeth || have.Src == vpcnet.Host(b.Addr)) {
			r.rule(have)
		}
	}
	return r.steps(), nil
}

// removal collects what is to go. Its steps are in the order that leaves no pod
// an open way: host veths down, then rules, then links.
type removal struct {
	down, links []link
	rules       []rule
	routes      []route
}

func (r *removal) rule(x rule) {
	if !slices.Contains(r.rules, x) {
		r.rules = append(r.rules, x)
	}
}

// branch adds a branch's link with all that belongs to it.
func (r *removal) branch(s state, l link) {
	if slices.Contains(r.links, l) {
		return
	}
	r.links = append(r.links, l)
	vlan, _ := l.branch()
	r.table(s, vlan)
	if a, ours := vpcnet.ParseAlias(l.Alias); ours {
		r.veth(s, a)
	}
}

// table adds all rules that lead to the branch's table.
func (r *removal) table(s state, vlan int) {
	for _, x := range s.rules {
		if v, ok := x.branch(); ok && v == vlan {
			r.rule(x)
		}
	}
}

// veth adds the attachment's host veth, and the rules that name it.
func (r *removal) veth(s state, a vpcnet.Attachment) {
	for _, l := range s.links {
		if l.Kind != "veth" || l.Alias != a.Alias() {
			continue
		}
		if l.Up && !slices.Contains(r.down, l) {
			r.down = append(r.down, l)
		}
		for _, x := range s.rules {
			if _, ok := x.branch(); ok && x.IIF == l.Name {
				r.rule(x)
			}
		}
	}
}

func (r *removal) halfMade(s state) {
	for _, l := range s.links {
		if _, ok := l.branch(); ok && l.halfMade() {
			r.branch(s, l)
		}
	}
}

func (r *removal) steps() []step {
	var out []step
	for _, l := range r.down {
		out = append(out, step{verb: linkDown, link: l})
	}
	for _, x := range r.rules {
		out = append(out, step{verb: delRule, rule: x})
	}
	for _, x := range r.routes {
		out = append(out, step{verb: delRoute, route: x})
	}
	for _, l := range r.links {
		out = append(out, step{verb: delLink, link: l})
	}
	return out
}

// Leaving says what a DEL knows of the pod that leaves.
type Leaving struct {
	ContainerID, IfName string
	// Branch is what prevResult tells; its zero value without one.
	Branch Branch
}

func (l Leaving) owns(alias string) bool {
	a, ours := vpcnet.ParseAlias(alias)
	return ours && a.ContainerID == l.ContainerID && a.IfName == l.IfName
}

// planDel removes the branches of the container's interface, whatever is left of
// them, and half-made links. What has another's alias stays.
func planDel(s state, who Leaving) []step {
	var r removal
	for _, l := range s.links {
		if _, ok := l.branch(); ok && who.owns(l.Alias) {
			r.branch(s, l)
		}
	}
	r.halfMade(s)
	if b := who.Branch; b.VLAN > 0 {
		if _, exists := s.byName(b.Link()); !exists {
			r.table(s, b.VLAN) // the trunk is gone, and its VLAN links with it
		}
	}
	for _, l := range s.links {
		if l.Kind == "veth" && who.owns(l.Alias) {
			r.orphaned(s, l)
		}
	}
	return s.settle(r.steps())
}

// orphaned adds what names the veth of a branch without its link: rules, and in
// standard mode the route by which the pod's address is known.
func (r *removal) orphaned(s state, veth link) {
	found := false
	for _, x := range s.rules {
		vlan, ok := x.branch()
		from := ok && x.Src.IsValid() && slices.ContainsFunc(s.routes, func(p route) bool {
			return p.Table == vpcnet.TablePods && p.Dev == veth.Name && p.Dst == x.Src
		})
		if !ok || x.IIF != veth.Name && !from {
			continue
		}
		found = true
		r.rule(x)
		if _, exists := s.byName(vpcnet.BranchLink(vlan)); !exists {
			r.table(s, vlan)
		}
	}
	if found && veth.Up && !slices.Contains(r.down, veth) {
		r.down = append(r.down, veth)
	}
}

// planGC removes the network's branches that are not valid, half-made links, and
// rules of branches that have neither link nor veth.
func planGC(s state, network string, valid func(vpcnet.Attachment) bool) []step {
	var r removal
	for _, l := range s.links {
		a, ours := vpcnet.ParseAlias(l.Alias)
		if _, ok := l.branch(); ok && ours && a.Network == network && !valid(a) {
			r.branch(s, l)
		}
	}
	r.halfMade(s)
	for _, x := range s.rules {
		if vlan, ok := x.branch(); ok && x.ours() && s.abandoned(x, vlan) {
			r.rule(x)
		}
	}
	return s.settle(r.steps())
}

// abandoned tells whether a rule's branch has no link, and no veth that a rule of
// its names: nobody's packets take it. A rule by source is taken by a pod that
// has a route.
func (s state) abandoned(x rule, vlan int) bool {
	if _, exists := s.byName(vpcnet.BranchLink(vlan)); exists {
		return false
	}
	if x.Src.IsValid() {
		return !slices.ContainsFunc(s.routes, func(p route) bool { return p.Table == vpcnet.TablePods && p.Dst == x.Src })
	}
	return !s.hasRule(func(y rule) bool {
		v, ok := y.branch()
		if !ok || v != vlan || y.IIF == "" || strings.HasPrefix(y.IIF, vpcnet.BranchPrefix) {
			return false
		}
		_, exists := s.byName(y.IIF)
		return exists
	})
}
