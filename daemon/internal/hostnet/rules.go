package hostnet

import (
	"net/netip"
	"slices"

	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// desiredRules are the policy rules that d asks for, each once, by priority.
func desiredRules(d Desired) []rule {
	rules := []rule{newRule(vpcnet.RulePods, vpcnet.TablePods)}
	for _, p := range mergePrefixes(d.External) {
		r := newRule(vpcnet.RuleExternal, vpcnet.TableMain)
		r.Dst = p
		rules = append(rules, r)
	}
	byTable := map[int][]netip.Prefix{}
	for _, f := range d.From {
		switch {
		case f.Table == vpcnet.TableMain:
		case f.Prefix.IsSingleIP():
			byTable[f.Table] = append(byTable[f.Table], f.Prefix)
		default:
			// A delegated prefix keeps its own rule, the one that EnsureFrom adds.
			rules = append(rules, fromRule(vpcnet.RuleFrom, f.Prefix.Masked(), f.Table))
		}
	}
	for _, table := range sortedKeys(byTable) {
		for _, p := range mergePrefixes(byTable[table]) {
			rules = append(rules, fromRule(vpcnet.RuleFrom, p, table))
		}
	}
	for _, e := range d.ENIs {
		if !e.IsPrimary() && e.Primary.IsValid() {
			rules = append(rules, fromRule(vpcnet.RuleENI, vpcnet.Host(e.Primary), vpcnet.ENITable(e.Card, e.Device)))
		}
	}
	return rules
}

func newRule(priority, table int) rule {
	return rule{Priority: priority, Table: table, Protocol: vpcnet.RouteProtocol, Plain: true}
}

func fromRule(priority int, src netip.Prefix, table int) rule {
	r := newRule(priority, table)
	r.Src = src
	return r
}

func sortedKeys(m map[int][]netip.Prefix) []int {
	keys := make([]int, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// rules adds the missing rules, then removes ours that are not desired, then
// deals with those of others that stand where ours do:
//
//   - a twin (our content, another protocol, as a stock aws-node leaves it) is
//     adopted: ours is added, then the twin is removed;
//   - a stock per-pod rule (512 to, 1536 from) for the address of a pod of ours
//     is left over from an earlier owner of the address and is removed;
//   - any other is left alone, and named in Degraded if it sends a source of
//     ours to another table before our rule is reached.
func (p *planned) rules(d Desired, k kernel) {
	want := desiredRules(d)
	at := make(map[rule]int, len(k.rules)) // position of ours in the kernel's list
	for i, r := range k.rules {
		if r.ours() {
			at[r] = i
		}
	}
	wanted := make(map[rule]bool, len(want))
	for _, w := range want {
		if _, ok := at[w]; !ok && !wanted[w] {
			p.add(step{verb: addRule, rule: w})
		}
		wanted[w] = true
	}
	p.oldRules(d, k, want, at, wanted)
}

// oldRules plans the removals: at has the positions of ours, wanted is want as a set.
func (p *planned) oldRules(d Desired, k kernel, want []rule, at map[rule]int, wanted map[rule]bool) {
	pods := make(map[netip.Prefix]bool, len(d.Pods))
	for _, pod := range d.Pods {
		pods[vpcnet.Host(pod.Addr)] = true
	}
	for i, r := range k.rules {
		if !r.Plain || !ourPriority(r.Priority) || isBranchTable(r.Table) {
			continue // a branch ENI's rules are those of package sgpp
		}
		asOurs := r
		asOurs.Protocol = vpcnet.RouteProtocol
		old := r.ours() || superseded(r, pods)
		if wanted[asOurs] {
			our, exists := at[asOurs]
			old = !r.ours() && removableTwin(r, i, our, exists)
		}
		if old {
			p.add(step{verb: delRule, rule: r})
		} else if !wanted[asOurs] {
			p.conflict(r, want)
		}
	}
}

// removableTwin: the kernel deletes a rule without a protocol by content alone,
// the first in its list. So such a twin can go only while it stands before ours;
// one that was added behind ours changes nothing and stays.
func removableTwin(twin rule, at, ours int, exists bool) bool {
	return twin.Protocol != 0 || !exists || at < ours
}

// superseded tells whether r is a stock rule for one pod, whose address now
// belongs to a pod of ours.
func superseded(r rule, pods map[netip.Prefix]bool) bool {
	if r.Protocol != 0 {
		return false // the stock daemon sets none
	}
	switch r.Priority {
	case vpcnet.RulePods:
		return !r.Src.IsValid() && pods[r.Dst] && r.Table == vpcnet.TableMain
	case vpcnet.RuleFrom:
		return !r.Dst.IsValid() && pods[r.Src]
	}
	return false
}

// conflict reports a foreign rule 1536 that overlaps one of ours with another table.
func (p *planned) conflict(r rule, want []rule) {
	if r.Priority != vpcnet.RuleFrom {
		return
	}
	for _, w := range want {
		if w.Priority == r.Priority && w.Table != r.Table && r.Src.IsValid() && w.Src.Overlaps(r.Src) {
			p.degrade("rule %q of another program overlaps %q: remove it if its owner is gone", r, w)
			return
		}
	}
}

func ourPriority(priority int) bool {
	switch priority {
	case vpcnet.RulePods, vpcnet.RuleExternal, vpcnet.RuleFrom, vpcnet.RuleENI:
		return true
	}
	return false
}
