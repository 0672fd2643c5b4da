package hostnet

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// Difference is a promise that the kernel does not keep.
type Difference struct {
	Object string // what is concerned, by a name that does not change: "rule 512", "table 2"
	Text   string // what is wrong, or what would repair it
	Repair bool   // Sync repairs it
}

// Check says how the kernel differs from d, and changes nothing. It finds what
// Sync would repair and, beyond that, what others left where only we write:
// routes in table 5120 and in the ENIs' tables, and host veths without the alias
// that DEL and GC find them by.
func (h *Host) Check(d Desired) ([]Difference, error) {
	h.sync.Lock()
	defer h.sync.Unlock()
	var out []Difference
	err := inNamespace(h.ns, func() error {
		k, err := observe(h.nl, d.PrimaryMAC)
		if err != nil {
			return err
		}
		out = check(d, k)
		return nil
	})
	return out, err
}

func check(d Desired, k kernel) []Difference {
	var out []Difference
	p := diff(d, k)
	for _, s := range p.steps {
		if !k.kept(d, s) {
			out = append(out, Difference{s.object(), s.String(), true})
		}
	}
	for _, what := range p.degraded {
		out = append(out, Difference{"links and rules", what, false})
	}
	out = append(out, k.strangers(d)...)
	return append(out, k.veths(d)...)
}

// object is the name of what a step changes.
func (s step) object() string {
	switch s.verb {
	case setSysctl:
		return "sysctl " + s.sysctl
	case setMTU, setUp, addAddr, delAddr:
		return "link " + s.link.Name
	case putRoute, delRoute:
		if s.route.Table == vpcnet.TablePods {
			return "pod route " + s.route.Dst.String()
		}
		return fmt.Sprintf("table %d", s.route.Table)
	}
	return fmt.Sprintf("rule %d", s.rule.Priority)
}

// kept tells that a rule 1536 is missing, or too many, by its text alone:
// adjacent sources merge at the next Sync, and an address that was given out
// since has its rule already.
func (k kernel) kept(d Desired, s step) bool {
	r := s.rule
	if r.Priority != vpcnet.RuleFrom || r.Protocol != vpcnet.RouteProtocol || s.verb != addRule && s.verb != delRule {
		return false
	}
	if s.verb == addRule {
		return covered(r, k.rules)
	}
	// Pods that came after the last Sync; their ADDs made the rules.
	live := slices.ContainsFunc(k.routes, func(p route) bool { return p.Table == vpcnet.TablePods && r.Src.Contains(p.Dst.Addr()) })
	return live || covered(r, desiredRules(d))
}

// covered tells whether rules of ours, taken together, send all that r selects to
// the same table.
func covered(r rule, rules []rule) bool {
	var sources []netip.Prefix
	for _, o := range rules {
		if o.ours() && o.Priority == r.Priority && o.Table == r.Table && o.Src.IsValid() {
			sources = append(sources, o.Src)
		}
	}
	return slices.ContainsFunc(mergePrefixes(sources), func(o netip.Prefix) bool { return o.Bits() <= r.Src.Bits() && o.Contains(r.Src.Addr()) })
}

// strangers are routes of others in tables that are ours.
func (k kernel) strangers(d Desired) []Difference {
	tables := []int{vpcnet.TablePods}
	for _, e := range d.ENIs {
		if !e.IsPrimary() {
			tables = append(tables, vpcnet.ENITable(e.Card, e.Device))
		}
	}
	var out []Difference
	for _, r := range k.routes {
		if slices.Contains(tables, r.Table) && r.Protocol != vpcnet.RouteProtocol {
			out = append(out, Difference{fmt.Sprintf("table %d", r.Table), "a route of another program: " + r.String() + ": delete it, or find out who writes it", false})
		}
	}
	return out
}

// veths are the pods' links that lost something that only their ADD makes, and
// those whose route is missing though the last Sync did not know of them.
func (k kernel) veths(d Desired) []Difference {
	routed := map[int]bool{}
	for _, r := range k.routes {
		if r.Table == vpcnet.TablePods || isBranchTable(r.Table) {
			routed[r.Link] = true
		}
	}
	known := map[string]bool{}
	var out []Difference
	for _, p := range d.Pods {
		known[p.HostVeth] = true
		switch l, ok := k.byName(p.HostVeth); {
		case !ok:
			out = append(out, Difference{"host veth " + p.HostVeth, fmt.Sprintf("the link of pod %s is missing: delete the pod, so that it is made again", p.Addr), false})
		case !l.Up:
			out = append(out, Difference{"host veth " + p.HostVeth, "ip link set " + p.HostVeth + " up: the link is down", false})
		case l.Alias == "":
			out = append(out, Difference{"host veth " + p.HostVeth, "its alias is gone, by which DEL and GC find it without a result: delete the pod, so that it is made again", false})
		}
	}
	for _, l := range k.links {
		if _, pod := vpcnet.ParseAlias(l.Alias); pod && l.Kind == "veth" && l.Up && !routed[l.Index] && !known[l.Name] {
			out = append(out, Difference{"pod route by " + l.Name, fmt.Sprintf("pod %s has no route in table %d", l.Alias, vpcnet.TablePods), false})
		}
	}
	return out
}

// Has tells whether the node has a link of the name.
func (h *Host) Has(link string) bool {
	_, err := h.nl.LinkByName(link)
	return err == nil
}
