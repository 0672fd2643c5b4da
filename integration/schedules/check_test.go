package schedules

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/vpcchain/vpcchain/integration/vpcsim/ec2"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// instanceTag is how an ENI names the instance that it was made for.
const instanceTag = "node.k8s.amazonaws.com/instance_id"

// differences are what does not agree on a node: its runtime, its pool, its
// kernel, and EC2.
func differences(n *node, s sight, enis []ec2.Interface) []string {
	var p pool
	if err := json.Unmarshal(s.Pool, &p); err != nil || len(p.ENIs) == 0 {
		return []string{fmt.Sprintf("the daemon has no pool: %s: %v", s.Status, err)}
	}
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if d := diff(n.report.Live, p.holders()); d != "" {
		say("who holds what (-runtime +pool):\n%s", d)
	}
	for _, l := range p.Lost {
		say("%s is lost", l.Address)
	}
	if len(p.Plan) > 0 {
		say("the daemon has plans: %q", p.Plan)
	}
	if s.Pending != "" {
		say("the daemon waits: %s", s.Pending)
	}
	if s.Status != "serving" && s.Status != "" && p.Used == 0 {
		say("status: %s", s.Status)
	}
	out = append(out, s.pods(n.report.Live)...)
	return append(out, s.cloud(n, p, enis)...)
}

// pods compares the kernel with what the runtime has.
func (s *sight) pods(live map[string]netip.Addr) []string {
	var out []string
	if d := diff(sorted(live), sorted(s.Aliases)); d != "" {
		out = append(out, "pods and aliases of veths (-runtime +kernel):\n"+d)
	}
	routes := map[netip.Addr]string{}
	for id, a := range live {
		routes[a] = s.Aliases[id]
		if !slices.Equal(s.Inside[id], []string{a.String()}) {
			out = append(out, fmt.Sprintf("%s has %v inside, not %s", id, s.Inside[id], a))
		}
	}
	if d := diff(routes, s.Routes); d != "" {
		out = append(out, "pod routes (-wanted +kernel):\n"+d)
	}
	return append(out, s.CutOff...)
}

// cloud compares pool and kernel with EC2.
func (s *sight) cloud(n *node, p pool, enis []ec2.Interface) []string {
	var out []string
	mine, have := map[string][]string{}, map[string][]string{}
	tables := map[int]ec2.Interface{}
	for _, i := range enis {
		switch {
		case i.Host == n.name:
			mine[i.ID] = expand(i.Addresses, i.Prefixes)
			table := vpcnet.ENITable(0, i.Device)
			tables[table] = i
			if !s.Tables[table] {
				out = append(out, fmt.Sprintf("table %d of %s has no default route", table, i.ID))
			}
		case i.Tags[instanceTag] == n.instance:
			out = append(out, i.ID+" is left over in EC2")
		}
	}
	for _, e := range p.ENIs {
		have[e.ID] = nil
		for _, a := range e.Addresses {
			have[e.ID] = append(have[e.ID], a.Address.String())
		}
		slices.Sort(have[e.ID])
		if !e.Ready {
			out = append(out, fmt.Sprintf("%s is not ready: %s", e.ID, e.Note))
		}
	}
	if d := diff(mine, have); d != "" {
		out = append(out, "addresses of ENIs (-EC2 +pool):\n"+d)
	}
	for _, a := range n.report.Live {
		if carrier, ok := tables[s.tableOf(a)]; !ok || !slices.Contains(mine[carrier.ID], a.String()) {
			out = append(out, fmt.Sprintf("packets of %s use table %d, of an ENI that does not have the address", a, s.tableOf(a)))
		}
	}
	for src, table := range s.From {
		if _, ok := tables[table]; !ok {
			out = append(out, fmt.Sprintf("the rule from %s leads to table %d, which is no ENI's", src, table))
		}
	}
	return out
}

// expand lists addresses and those of prefixes.
func expand(addrs []netip.Addr, prefixes []netip.Prefix) []string {
	var out []string
	for _, a := range addrs {
		out = append(out, a.String())
	}
	for _, p := range prefixes {
		for a := p.Addr(); p.Contains(a); a = a.Next() {
			out = append(out, a.String())
		}
	}
	slices.Sort(out)
	return out
}

func diff(want, got any) string {
	return cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.Addr{}))
}
