package scenario

import (
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/vpcchain/vpcchain/integration/vpcsim/capture"
)

// Figures are those of the observation.
type Figures struct {
	Source   netip.Addr
	Link     string
	OwnPorts bool   // the client's; else such that no two connections' follow one another
	SYN      string // options of every first packet
	// Rules are the chains as `iptables -t nat -nvL` shows them, spaces collapsed,
	// counters and header removed, protocol 0 written as all.
	Rules map[string]string
}

// Want are the figures with the node's SNAT, or without it.
func Want(external bool) Figures {
	const syn = "Win=62727 Len=0 MSS=8961 SACK_PERM" // 8961 = 9001 - 40
	if external {
		return Figures{netip.MustParseAddr("100.64.47.199"), "eth1", true, syn, map[string]string{}}
	}
	return Figures{netip.MustParseAddr("10.20.11.162"), "eth0", false, syn, map[string]string{
		"POSTROUTING":      "AWS-SNAT-CHAIN-0 all -- * * 0.0.0.0/0 0.0.0.0/0 /* AWS SNAT CHAIN */",
		"AWS-SNAT-CHAIN-0": "AWS-SNAT-CHAIN-1 all -- * * 0.0.0.0/0 !10.20.0.0/16 /* AWS SNAT CHAIN */",
		"AWS-SNAT-CHAIN-1": "AWS-SNAT-CHAIN-2 all -- * * 0.0.0.0/0 !100.64.0.0/16 /* AWS SNAT CHAIN */",
		"AWS-SNAT-CHAIN-2": "SNAT all -- * !vlan+ 0.0.0.0/0 0.0.0.0/0 /* AWS, SNAT */ ADDRTYPE match dst-type !LOCAL to:10.20.11.162 random-fully",
	}}
}

// Rules are the run's listings in the form of Figures.Rules: ours alone.
func (r Run) Rules() map[string]string {
	out := map[string]string{}
	for name, listing := range r.Listings {
		var rows []string
		for line := range strings.Lines(listing) {
			f := strings.Fields(line)
			if len(f) < 5 || f[0] == "Chain" || f[0] == "pkts" || name == "POSTROUTING" && !strings.HasPrefix(f[2], "AWS-") {
				continue
			}
			if f[3] == "0" {
				f[3] = "all"
			}
			rows = append(rows, strings.Join(f[2:], " "))
		}
		if len(rows) > 0 || name != "POSTROUTING" {
			out[name] = strings.Join(rows, "\n")
		}
	}
	return out
}

// On are the packets to the web server on a link.
func (r Run) On(link string) []capture.Packet {
	if link == "eth0" {
		return r.Primary
	}
	return r.Second
}

// Problems says what of the run is not as in the figures.
func (r Run) Problems() []string {
	want := Want(r.External)
	var out []string
	bad := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if got := r.Pod.Addr.String(); got != "100.64.47.199" {
		bad("the pod is %s", got)
	}
	for _, link := range []string{"eth0", "eth1"} {
		if n := len(r.On(link)); link != want.Link && n > 0 {
			bad("%d packets left by %s", n, link)
		}
	}
	if said := (Verdict{want.Link, want.Source, !r.External}); r.Verdict != said {
		bad("vpcctl explain says %+v, not %+v:\n%s", r.Verdict, said, r.Way)
	}
	conversations := map[uint16][]string{}
	var ports []uint16
	for _, p := range r.On(want.Link) {
		if p.Source.Addr() != want.Source {
			bad("a packet has source %s: %s", p.Source, p.Info)
		}
		port := p.Source.Port()
		if conversations[port] == nil {
			ports = append(ports, port)
		}
		conversations[port] = append(conversations[port], kind(p))
		if kind(p) == "SYN" && (!strings.Contains(p.Info, want.SYN) || !strings.Contains(p.Info, "WS=128")) {
			bad("a SYN is %q, not %q", p.Info, want.SYN)
		}
	}
	if len(ports) != 3 {
		bad("%d connections, not 3", len(ports))
	}
	for port, kinds := range conversations {
		if text := strings.Join(kinds, " "); !regexp.MustCompile(`^SYN ACK GET( ACK)* FIN( ACK)*$`).MatchString(text) {
			bad("the connection from port %d is %s", port, text)
		}
	}
	return append(append(out, r.portProblems(want, ports)...), r.ruleProblems(want)...)
}

func (r Run) portProblems(want Figures, ports []uint16) []string {
	if want.OwnPorts {
		var own []uint16
		for _, g := range r.Gets {
			own = append(own, g.Local.Port())
		}
		if !slices.Equal(own, ports) {
			return []string{fmt.Sprintf("source ports %v, the client's own are %v", ports, own)}
		}
		return nil
	}
	for i := 1; i < len(ports); i++ {
		if d := int(ports[i]) - int(ports[i-1]); d >= -2 && d <= 2 {
			return []string{fmt.Sprintf("source ports %v follow one another", ports)}
		}
	}
	return nil
}

func (r Run) ruleProblems(want Figures) []string {
	have := r.Rules()
	if maps.Equal(have, want.Rules) {
		return nil
	}
	return []string{fmt.Sprintf("the chains are %v, not %v", have, want.Rules)}
}

// kind is what a packet of a fetch does.
func kind(p capture.Packet) string {
	switch {
	case p.Protocol == "HTTP":
		return "GET"
	case strings.Contains(p.Info, "[SYN]"):
		return "SYN"
	case strings.Contains(p.Info, "FIN"):
		return "FIN"
	case strings.Contains(p.Info, "[ACK]"):
		return "ACK"
	}
	return p.Info
}
