package sgpp

import (
	"maps"
	"slices"

	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// earlyDemux are the sysctls that look for a socket before routing: with them, a
// packet from a strict pod to the node's own connection finds the node's socket,
// and the kernel drops a packet with a socket that it is to forward (ip_forward).
func earlyDemux() []string {
	return []string{"net/ipv4/tcp_early_demux", "net/ipv4/udp_early_demux"}
}

// protocolKernel is RTPROT_KERNEL, which rule 0 has when the kernel made it.
const protocolKernel = 2

// enable are the steps that make the node fit for strict pods: the local table
// is always reachable, at 20 before it goes at 0.
func (s state) enable() []step {
	var out []step
	var off []step
	saved := maps.Clone(s.saved)
	for _, path := range earlyDemux() {
		if have, ok := s.sysctls[path]; ok && have != "0" {
			if _, known := saved[path]; !known {
				if saved == nil {
					saved = map[string]string{}
				}
				saved[path] = have
			}
			off = append(off, step{verb: setSysctl, sysctl: path, value: "0"})
		}
	}
	if len(saved) > len(s.saved) {
		out = append(out, step{verb: save, saved: saved})
	}
	out = append(out, off...)
	if !s.hasRule(func(r rule) bool { return r.local() && r.Priority == vpcnet.RuleLocal }) {
		out = append(out, step{verb: addRule, rule: localAt(vpcnet.RuleLocal, vpcnet.RouteProtocol)})
	}
	for _, r := range s.rules {
		if r.local() && r.Priority == 0 {
			out = append(out, step{verb: delRule, rule: r})
		}
	}
	return out
}

// disable are the steps back, of what enable did and nothing else.
func (s state) disable() []step {
	var out []step
	for _, r := range s.rules {
		if !r.local() || !r.ours() || r.Priority != vpcnet.RuleLocal {
			continue
		}
		if !s.hasRule(func(r rule) bool { return r.local() && r.Priority == 0 }) {
			out = append(out, step{verb: addRule, rule: localAt(0, protocolKernel)})
		}
		out = append(out, step{verb: delRule, rule: r})
	}
	if !s.hasRule(rule.local) {
		out = append(out, step{verb: addRule, rule: localAt(0, protocolKernel)}) // somebody flushed the rules
	}
	if s.saved == nil {
		return out
	}
	for _, path := range slices.Sorted(maps.Keys(s.saved)) {
		if have, ok := s.sysctls[path]; ok && have != s.saved[path] {
			out = append(out, step{verb: setSysctl, sysctl: path, value: s.saved[path]})
		}
	}
	return append(out, step{verb: forget})
}

func localAt(priority, protocol int) rule {
	return rule{Priority: priority, Table: tableLocal, Protocol: protocol, Plain: true}
}

// after is s with the rules that the steps leave, without the links that they
// delete.
func (s state) after(steps []step) state {
	s.rules, s.links = slices.Clone(s.rules), slices.Clone(s.links)
	for _, st := range steps {
		switch st.verb {
		case addRule:
			s.rules = append(s.rules, st.rule)
		case delRule:
			s.rules = slices.DeleteFunc(s.rules, func(r rule) bool { return r == st.rule })
		case delLink:
			s.links = slices.DeleteFunc(s.links, func(l link) bool { return l.Index == st.link.Index })
		}
	}
	return s
}

// settle completes the steps of a removal or a repair with those of the shared
// state: before the first strict rule, or behind the last.
func (s state) settle(steps []step) []step {
	if end := s.after(steps); !end.strict() {
		return append(steps, end.disable()...)
	}
	return append(s.enable(), steps...)
}
