package explain

import (
	"net/netip"
	"slices"

	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// The kinds of routes that decide, and the kernel's local table.
const (
	unicast    = "unicast"
	local      = "local"
	throw      = "throw"
	tableLocal = 255
)

// flow is what a look into the routing tables asks for.
type flow struct {
	src, dst netip.Addr
	in       string // link; lo for packets of the node itself
	out      string // empty: any
	mark     uint32
}

// found is the rule and the route that decided.
type found struct {
	rule  Rule
	route Route
	ok    bool
	doubt []string // rules that came first and could not be read
}

// dropped says by what the packet is refused, or nothing.
func (f found) dropped() string {
	if !f.ok {
		return "no route"
	}
	if f.rule.Drop != "" {
		return f.rule.Drop
	}
	switch f.route.Kind {
	case "blackhole", "unreachable", "prohibit":
		return f.route.Kind
	}
	return ""
}

// lookup plays the kernel's: rules by priority; in a table the longest prefix,
// among equal ones the smallest metric; a table without a route leads on.
func (s Snapshot) lookup(f flow) found {
	var out found
	for _, r := range s.Rules {
		if !r.matches(f) {
			continue
		}
		if r.Unreadable != "" {
			out.doubt = append(out.doubt, "rule "+r.String()+" is passed over: "+r.Unreadable)
			continue
		}
		if r.Drop != "" {
			out.rule, out.ok = r, true
			return out
		}
		route, ok := s.best(r.Table, f)
		if !ok || route.Kind == throw {
			continue
		}
		out.rule, out.route, out.ok = r, route, true
		return out
	}
	return out
}

func (r Rule) matches(f flow) bool {
	m := (!r.Src.IsValid() || r.Src.Contains(f.src)) && (!r.Dst.IsValid() || r.Dst.Contains(f.dst)) &&
		(r.In == "" || r.In == f.in) && (r.Out == "" || r.Out == f.out) && (f.mark^r.Mark)&r.Mask == 0
	return m != r.Not
}

func (s Snapshot) best(table int, f flow) (Route, bool) {
	var best Route
	ok := false
	for _, r := range s.Routes {
		if r.Table != table || !r.Dst.Contains(f.dst) || f.out != "" && r.Dev != f.out {
			continue
		}
		if !ok || r.Dst.Bits() > best.Dst.Bits() || r.Dst.Bits() == best.Dst.Bits() && r.Metric < best.Metric {
			best, ok = r, true
		}
	}
	return best, ok
}

// reverse tells whether rp_filter lets a packet from src in: the way back is
// looked up, mode 1 wants it to lead out by the same link, mode 2 wants any. The
// kernel looks as if the packet came back by the link that it goes out by (lo when
// it is for the node), so rules by input link lead it back as they led it there.
func (s Snapshot) reverse(src, dst netip.Addr, in Link, out string) (back found, passes bool) {
	back = s.lookup(flow{src: dst, dst: src, in: out})
	switch {
	case in.RPFilter == 0 && (!back.ok || back.route.Kind != local):
		return back, true
	case back.dropped() != "" || back.route.Kind != unicast:
		return back, false
	case in.RPFilter == 1:
		return back, back.route.Link == in.Index
	}
	return back, true
}

func (s Snapshot) link(match func(Link) bool) (Link, bool) {
	for _, l := range s.Links {
		if match(l) {
			return l, true
		}
	}
	return Link{}, false
}

// isLocal tells whether a is an address of the node.
func (s Snapshot) isLocal(a netip.Addr) bool {
	r, ok := s.best(tableLocal, flow{dst: a})
	return ok && r.Kind == local
}

// podLink is the host's end of the pod with the address: where its route leads
// or, without a route, the link with the alias of who holds it.
func (s Snapshot) podLink(a netip.Addr) (Link, bool) {
	for _, r := range s.Routes {
		if r.Dst != vpcnet.Host(a) || r.Kind != unicast {
			continue
		}
		if l, ok := s.link(func(l Link) bool { return l.Index == r.Link }); ok {
			if _, pod := vpcnet.ParseAlias(l.Alias); pod {
				return l, true
			}
		}
	}
	for _, e := range s.ENIs {
		if p, ok := e.Pods[a]; ok {
			return s.link(func(l Link) bool { return l.Alias == p.Attachment.Alias() })
		}
	}
	return Link{}, false
}

func (s Snapshot) eniOf(l Link) (ENI, bool) {
	for _, e := range s.ENIs {
		if e.MAC == l.MAC {
			return e, true
		}
	}
	return ENI{}, false
}

// entrance is the link by which the VPC delivers packets to the address: that of
// its branch ENI or of its ENI, and of an address that nobody knows the primary one's.
func (s Snapshot) entrance(a netip.Addr) (Link, bool) {
	if pod, ok := s.podLink(a); ok {
		vlan, ok := s.link(func(l Link) bool {
			_, branch := vpcnet.ParseBranchLink(l.Name)
			return branch && l.Alias == pod.Alias
		})
		if ok {
			return vlan, true
		}
	}
	if mac, known := s.carrierMAC(a); known {
		if l, ok := s.link(func(l Link) bool { return l.MAC == mac }); ok {
			return l, true
		}
	}
	return s.link(func(l Link) bool { return l.MAC == s.Primary && l.MAC != "" })
}

// carrierMAC is that of the ENI by which packets to the address come.
func (s Snapshot) carrierMAC(a netip.Addr) (string, bool) {
	if e, ok := s.carrier(a); ok {
		return e.MAC, true
	}
	for _, h := range s.Homes {
		if h.Prefix.Contains(a) {
			return h.MAC, true
		}
	}
	return "", false
}

// carrier is the ENI that has the address.
func (s Snapshot) carrier(a netip.Addr) (ENI, bool) {
	for _, e := range s.ENIs {
		if slices.Contains(e.Addresses, a) {
			return e, true
		}
	}
	return ENI{}, false
}
