package sgpp

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/netip"
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
		if !branch || have.Table != b.table() && have.IIF != b.HostVeth && have.Src != vpcnet.Host(b.Addr) {
			continue
		}
		if old, ok := s.byName(have.IIF); ok {
			r.veth(s, old)
		}
		r.rule(have)
	}
	return r.steps(), nil
}

// removal collects what is to go. Its steps are in the order that leaves no pod
// an open way: host veths down, then rules, then links.
type removal struct {
	down, links []link
	rules       []rule
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
	for _, x := range s.rules {
		if v, ok := x.branch(); ok && v == vlan {
			r.rule(x)
		}
	}
	for _, v := range s.links {
		if _, ours := vpcnet.ParseAlias(l.Alias); ours && v.Alias == l.Alias {
			r.veth(s, v)
		}
	}
}

// veth adds the host veth of a branch's pod, and the rules that name it.
func (r *removal) veth(s state, v link) {
	if v.Kind != "veth" || slices.Contains(r.down, v) {
		return
	}
	if v.Up {
		r.down = append(r.down, v)
	}
	for _, x := range s.rules {
		if _, ok := x.branch(); ok && x.IIF == v.Name {
			r.rule(x)
		}
	}
}

// halfMade adds links that an ADD or a repair did not finish. The rules stay:
// under a repair they keep a living pod closed.
func (r *removal) halfMade(s state) {
	for _, l := range s.links {
		if _, ok := l.branch(); ok && l.halfMade() && !slices.Contains(r.links, l) {
			r.links = append(r.links, l)
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

// planDel removes the branches of the container's interface, whatever is left of
// them, and half-made links. What has another's alias stays.
func planDel(s state, who Leaving) []step {
	owns := func(a vpcnet.Attachment) bool { return a.ContainerID == who.ContainerID && a.IfName == who.IfName }
	steps := s.removal(owns, map[int]bool{who.Branch.VLAN: true})
	if who.Branch.VLAN == 0 {
		return s.settle(steps)
	}
	// A pod that surely has a branch is closed before a rule of it goes.
	for _, l := range s.links {
		a, ours := vpcnet.ParseAlias(l.Alias)
		down := step{verb: linkDown, link: l}
		if ours && owns(a) && l.Kind == "veth" && l.Up && !slices.ContainsFunc(steps, func(st step) bool { return st.verb == linkDown && st.link == l }) {
			steps = append([]step{down}, steps...)
		}
	}
	return s.settle(steps)
}

// planGC removes the network's branches that are not valid, half-made links, and
// rules that nobody's packets take.
func planGC(s state, network string, valid func(vpcnet.Attachment) bool) []step {
	owns := func(a vpcnet.Attachment) bool { return a.Network == network && !valid(a) }
	return s.settle(s.removal(owns, s.branches()))
}

// branches are the VLAN ids that any rule leads to.
func (s state) branches() map[int]bool {
	ids := map[int]bool{}
	for _, x := range s.rules {
		if vlan, ok := x.branch(); ok {
			ids[vlan] = true
		}
	}
	return ids
}

// removal are the steps that remove the branches of the owned attachments, by
// their links and, where those are gone with the trunk, by the rules that name
// their veth or their address. Of other rules only those with the given VLAN ids
// go, and only if nobody's packets take them.
func (s state) removal(owns func(vpcnet.Attachment) bool, ids map[int]bool) []step {
	var r removal
	own := map[string]link{} // veths, by name
	for _, l := range s.links {
		a, ours := vpcnet.ParseAlias(l.Alias)
		if !ours || !owns(a) {
			continue
		}
		if _, ok := l.branch(); ok {
			r.branch(s, l)
		} else if l.Kind == "veth" {
			own[l.Name] = l
		}
	}
	r.halfMade(s)
	ids = maps.Clone(ids)
	for _, x := range s.rules {
		vlan, ok := x.branch()
		v, found := own[cmp.Or(x.IIF, s.routedTo(x.Src))]
		if ok && found {
			ids[vlan] = true
			r.veth(s, v)
			r.rule(x)
		}
	}
	for _, x := range s.rules {
		if vlan, ok := x.branch(); ok && x.ours() && ids[vlan] && s.abandoned(x, vlan, own) {
			r.rule(x)
		}
	}
	return r.steps()
}

// routedTo is the veth of the pod in standard mode that has the address, or empty.
func (s state) routedTo(src netip.Prefix) string {
	i := slices.IndexFunc(s.routes, func(p route) bool { return p.Table == vpcnet.TablePods && p.Dst == src && src.IsValid() })
	if i < 0 {
		return ""
	}
	return s.routes[i].Dev
}

// abandoned tells whether a rule's branch has no link, and no pod but those that
// leave: none has a veth that a rule of the branch names, or a route in standard mode.
func (s state) abandoned(x rule, vlan int, leaving map[string]link) bool {
	if l, exists := s.byName(vpcnet.BranchLink(vlan)); exists && !l.halfMade() {
		return false
	}
	stays := func(veth string) bool {
		_, leaves := leaving[veth]
		_, exists := s.byName(veth)
		return exists && !leaves && !strings.HasPrefix(veth, vpcnet.BranchPrefix)
	}
	if x.Src.IsValid() {
		return !stays(s.routedTo(x.Src)) && !s.unrouted(stays)
	}
	return !s.hasRule(func(y rule) bool {
		v, ok := y.branch()
		return ok && v == vlan && stays(y.IIF)
	})
}

// unrouted tells whether a pod is up and has no route yet, so that its address is
// not known: its ADD, or the repair of its branch, was killed.
func (s state) unrouted(stays func(veth string) bool) bool {
	return slices.ContainsFunc(s.links, func(l link) bool {
		_, ours := vpcnet.ParseAlias(l.Alias)
		return ours && l.Kind == "veth" && l.Up && stays(l.Name) && !slices.ContainsFunc(s.routes, func(p route) bool { return p.Dev == l.Name })
	})
}
