package capture

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Filter selects packets: terms of tcpdump's language joined by "and".
type Filter struct{ terms []term }

type term struct {
	side  string // "src", "dst" or "" for either
	addr  netip.Prefix
	port  uint16
	proto string
	vlan  int // 802.1Q id; anyVLAN is any
}

// anyVLAN is the term `vlan` without an id; no tag has it.
const anyVLAN = -1

// ParseFilter understands `[src|dst] [host|net] ADDR`, `[src|dst] port N`,
// `tcp`, `udp`, `icmp`, `arp`, `vlan [ID]`, joined by `and`. An empty text
// selects all, tagged or not.
func ParseFilter(text string) (Filter, error) {
	var f Filter
	words := strings.Fields(text)
	for len(words) > 0 {
		t, rest, err := parseTerm(words)
		if err != nil {
			return Filter{}, fmt.Errorf("filter %q: %w", text, err)
		}
		f.terms = append(f.terms, t)
		if len(rest) == 0 {
			break
		}
		if rest[0] != "and" || len(rest) == 1 {
			return Filter{}, fmt.Errorf("filter %q: %q after a term; join terms with and", text, rest[0])
		}
		words = rest[1:]
	}
	return f, nil
}

func parseTerm(words []string) (t term, rest []string, err error) {
	switch words[0] {
	case "tcp", "udp", "icmp", "arp":
		return term{proto: words[0]}, words[1:], nil
	case "vlan":
		return parseVLAN(words[1:])
	case "src", "dst":
		t.side, words = words[0], words[1:]
	}
	kind := "host"
	if len(words) > 0 && (words[0] == "host" || words[0] == "net" || words[0] == "port") {
		kind, words = words[0], words[1:]
	}
	if len(words) == 0 {
		return term{}, nil, fmt.Errorf("nothing after %s", kind)
	}
	switch kind {
	case "port":
		n, err := strconv.ParseUint(words[0], 10, 16)
		if err != nil || n == 0 {
			return term{}, nil, fmt.Errorf("port %q: 1 to 65535 is allowed", words[0])
		}
		t.port = uint16(n)
	default:
		if a, err := netip.ParseAddr(words[0]); err == nil {
			t.addr = netip.PrefixFrom(a, a.BitLen())
			break
		}
		if t.addr, err = netip.ParsePrefix(words[0]); err != nil {
			return term{}, nil, fmt.Errorf("%q is neither a term nor an address", words[0])
		}
	}
	return t, words[1:], nil
}

func parseVLAN(words []string) (t term, rest []string, err error) {
	if len(words) == 0 || words[0] == "and" {
		return term{vlan: anyVLAN}, words, nil
	}
	n, err := strconv.ParseUint(words[0], 10, 12)
	if err != nil || n == 0 || n == 4095 {
		return term{}, nil, fmt.Errorf("vlan %q: 1 to 4094 is allowed", words[0])
	}
	return term{vlan: int(n)}, words[1:], nil
}

// Match tells whether the packet is selected.
func (f Filter) Match(p Packet) bool {
	for _, t := range f.terms {
		if !t.match(p) {
			return false
		}
	}
	return true
}

func (t term) match(p Packet) bool {
	if t.vlan != 0 {
		return p.VLAN == t.vlan || t.vlan == anyVLAN && p.VLAN != 0
	}
	switch t.proto {
	case "tcp":
		return p.proto == protoTCP
	case "udp":
		return p.proto == protoUDP
	case "icmp":
		return p.proto == protoICMP
	case "arp":
		return p.Protocol == "ARP"
	}
	end := func(ap netip.AddrPort) bool {
		if t.port != 0 {
			return ap.Port() == t.port
		}
		return t.addr.Contains(ap.Addr())
	}
	return t.side != "dst" && end(p.Source) || t.side != "src" && end(p.Dest)
}
