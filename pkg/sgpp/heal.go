package sgpp

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// planHeal repairs the branches that are wanted and live, and removes the links
// of those that are neither: nobody wants them, and their host veth is gone. A
// branch whose host veth is down is being made or unmade.
func planHeal(s state, want []Branch, n Node) []step {
	found, steps := s, s.orphans(want)
	s = s.after(steps)
	trunk, hasTrunk := s.byMAC(n.TrunkMAC)
	for _, b := range want {
		veth, ok := s.byName(b.HostVeth)
		if !ok || !veth.Up || veth.Alias != b.Attachment.Alias() || !hasTrunk {
			continue
		}
		b.Mode = b.observedMode(s)
		done := len(steps)
		steps = s.repair(steps, b, n, trunk, veth)
		s = s.after(steps[done:])
	}
	return found.settle(steps)
}

// orphans removes what no branch of want, and no living pod, has.
func (s state) orphans(want []Branch) []step {
	attachments, ids := map[vpcnet.Attachment]bool{}, s.branches()
	for _, b := range want {
		attachments[b.Attachment] = true
		delete(ids, b.VLAN)
	}
	lives := func(a vpcnet.Attachment) bool {
		return slices.ContainsFunc(s.links, func(l link) bool { return l.Kind == "veth" && l.Alias == a.Alias() })
	}
	return s.removal(func(a vpcnet.Attachment) bool { return !attachments[a] && !lives(a) }, ids)
}

// repair adds the steps for what the branch lacks.
func (s state) repair(steps []step, b Branch, n Node, trunk, veth link) []step {
	if !trunk.Up {
		steps = append(steps, step{verb: linkUp, link: trunk})
	}
	l, exists := s.byName(b.Link())
	if !exists {
		return s.make(steps, b, n, trunk, veth)
	}
	if _, ok := l.branch(); !ok || l.Alias != b.Attachment.Alias() {
		return steps // another's: the pod that it was announced for next
	}
	if l.MTU != trunk.MTU {
		l.MTU = trunk.MTU
		steps = append(steps, step{verb: setMTU, link: l})
	}
	if !l.Up {
		steps = append(steps, step{verb: linkUp, link: l})
	}
	for _, p := range append(b.wayOut(), b.wayIn(n)) {
		// A link that was down has lost its routes.
		if !slices.Contains(s.routes, p) || !l.Up && p.Dev == l.Name {
			steps = append(steps, step{verb: putRoute, route: p})
		}
	}
	if b.strict() {
		if i := slices.IndexFunc(s.routes, func(p route) bool { return p.Table == vpcnet.TablePods && p.Dst == vpcnet.Host(b.Addr) }); i >= 0 {
			steps = append(steps, step{verb: delRoute, route: s.routes[i]})
		}
		return s.addRules(steps, b.rules()...)
	}
	return s.addRules(steps, append(b.rules(), podsRule())...)
}

// check names the first difference between the kernel and what was promised.
func check(s state, b Branch, n Node) error {
	b.Mode = b.observedMode(s)
	l, ok := s.byName(b.Link())
	if _, vlan := l.branch(); !ok || !vlan {
		return fmt.Errorf("VLAN link %s is missing", b.Link())
	}
	if err := checkLink(s, l, b, n); err != nil {
		return err
	}
	if veth, ok := s.byName(b.HostVeth); !ok || !veth.Up {
		return fmt.Errorf("host veth %s is missing or down", b.HostVeth)
	}
	for _, want := range append(b.wayOut(), b.wayIn(n)) {
		if !slices.ContainsFunc(s.routes, func(p route) bool {
			p.Src, want.Src = netip.Addr{}, netip.Addr{} // a daemon may have come since
			return p == want
		}) {
			return fmt.Errorf("table %d has no route %s", want.Table, want)
		}
	}
	rules := b.rules()
	if !b.strict() {
		rules = append(rules, podsRule())
	}
	for _, want := range rules {
		if !slices.Contains(s.rules, want) {
			return fmt.Errorf("rule %q is missing", want)
		}
	}
	if !b.strict() {
		return nil
	}
	return checkStrict(s, b)
}

func checkLink(s state, l link, b Branch, n Node) error {
	trunk, ok := s.byMAC(n.TrunkMAC)
	switch {
	case !ok:
		return fmt.Errorf("%w %s", ErrNoTrunk, n.TrunkMAC)
	case l.Alias != b.Attachment.Alias():
		return fmt.Errorf("VLAN link %s has alias %q, not %q", l.Name, l.Alias, b.Attachment)
	case l.Parent != trunk.Index || l.VLAN != b.VLAN:
		return fmt.Errorf("VLAN link %s has id %d on link %d, not %d on the trunk %s", l.Name, l.VLAN, l.Parent, b.VLAN, trunk.Name)
	case !strings.EqualFold(l.MAC, b.MAC):
		return fmt.Errorf("VLAN link %s has MAC %s, not the branch ENI's %s", l.Name, l.MAC, b.MAC)
	case l.MTU != trunk.MTU:
		return fmt.Errorf("VLAN link %s has MTU %d, the trunk %s has %d", l.Name, l.MTU, trunk.Name, trunk.MTU)
	case !l.Up || !trunk.Up:
		return fmt.Errorf("VLAN link %s or its trunk %s is down", l.Name, trunk.Name)
	}
	return nil
}

func checkStrict(s state, b Branch) error {
	for _, p := range s.routes {
		if p.Table == vpcnet.TablePods && p.Dst == vpcnet.Host(b.Addr) {
			return fmt.Errorf("table %d has the route %s: packets to the pod pass its security groups by", vpcnet.TablePods, p)
		}
	}
	if !s.hasRule(func(r rule) bool { return r.local() && r.Priority == vpcnet.RuleLocal }) {
		return fmt.Errorf("rule %d (lookup local) is missing", vpcnet.RuleLocal)
	}
	if s.hasRule(func(r rule) bool { return r.local() && r.Priority < vpcnet.RuleBranch }) {
		return fmt.Errorf("the local table is looked up before rule %d: packets between pods of this node pass their security groups by", vpcnet.RuleBranch)
	}
	for _, path := range earlyDemux() {
		if have, ok := s.sysctls[path]; ok && have != "0" {
			return fmt.Errorf("sysctl %s is %s: the node's connections to the pod fail", path, have)
		}
	}
	return nil
}
