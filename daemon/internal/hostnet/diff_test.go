package hostnet

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

func addrOf(s string) netip.Addr     { return netip.MustParseAddr(s) }
func prefixOf(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// twoENIs is a node with a primary and one secondary ENI on a link.
func twoENIs() (Desired, kernel) {
	d := Desired{
		Primary: addrOf("10.20.11.162"), PrimaryMAC: "02:00:00:00:00:01", MTU: 9001,
		ENIs: []ENI{
			{ID: "eni-0", MAC: "02:00:00:00:00:01", Primary: addrOf("10.20.11.162"), Subnet: prefixOf("10.20.11.0/24")},
			{ID: "eni-1", MAC: "02:00:00:00:00:02", Device: 1, Primary: addrOf("10.20.11.5"), Subnet: prefixOf("10.20.11.0/24")},
		},
		From:     []From{{Prefix: prefixOf("10.20.11.40/32"), Table: 2}, {Prefix: prefixOf("10.20.11.41/32"), Table: 2}, {Prefix: prefixOf("10.20.11.9/32"), Table: vpcnet.TableMain}},
		External: []netip.Prefix{prefixOf("192.0.2.0/24")},
		Pods:     []Pod{{Addr: addrOf("10.20.11.40"), HostVeth: "eni0123"}, {Addr: addrOf("10.20.11.41"), HostVeth: "eniabsent"}},
	}
	k := kernel{
		links: []link{
			{Index: 1, Name: "lo", Kind: "device", Up: true},
			{Index: 2, Name: "eth0", MAC: "02:00:00:00:00:01", Kind: "device", MTU: 1500, Up: true},
			{Index: 3, Name: "eth1", MAC: "02:00:00:00:00:02", Kind: "device", MTU: 1500},
			{Index: 4, Name: "eni0123", Kind: "veth", MTU: 9001, Up: true},
		},
		sysctls: map[string]string{ipForward: "0", rpFilter("eth0"): "1"},
	}
	return d, k
}

func texts(p planned) []string {
	var out []string
	for _, s := range p.steps {
		out = append(out, s.String())
	}
	return out
}

// follow changes k as the kernel would on the steps of p.
func follow(k kernel, p planned) kernel {
	for _, s := range p.steps {
		switch s.verb {
		case setSysctl:
			k.sysctls[s.sysctl] = s.value
		case setMTU, setUp:
			for i := range k.links {
				if k.links[i].Index == s.link.Index && s.verb == setUp {
					k.links[i].Up = true
				} else if k.links[i].Index == s.link.Index {
					k.links[i].MTU = s.mtu
				}
			}
		case addAddr:
			k.addrs = append(k.addrs, addr{Link: s.link.Index, Prefix: s.addr, Global: true})
		case delAddr:
			k.addrs = slices.DeleteFunc(k.addrs, func(a addr) bool { return a.Link == s.link.Index && a.Prefix == s.addr })
		case putRoute:
			k.routes = slices.DeleteFunc(k.routes, func(r route) bool { return wanted([]route{s.route}, r) })
			k.routes = append(k.routes, s.route)
		case delRoute:
			k.routes = slices.DeleteFunc(k.routes, func(r route) bool { return r == s.route })
		case addRule:
			k.rules = append(k.rules, s.rule)
		case delRule:
			k.rules = slices.DeleteFunc(k.rules, func(r rule) bool { return r == s.rule })
		}
	}
	return k
}

func TestDiffFromNothing(t *testing.T) {
	d, k := twoENIs()
	p := diff(d, k)
	want := []string{
		"sysctl net/ipv4/ip_forward 0 -> 1",
		"sysctl net/ipv4/conf/eth0/rp_filter 1 -> 2",
		"link set eth0 mtu 9001",
		"link set eth1 mtu 9001",
		"link set eth1 up",
		"addr add 10.20.11.5/24 dev eth1 noprefixroute",
		"route replace 10.20.11.1/32 dev eth1 table 2 scope link proto 86",
		"route replace default via 10.20.11.1 dev eth1 table 2 proto 86",
		"route replace 10.20.11.40/32 dev eni0123 table 5120 scope link src 10.20.11.162 proto 86",
		"rule add 512: from all lookup 5120 proto 86",
		"rule add 1535: from all to 192.0.2.0/24 lookup 254 proto 86",
		"rule add 1536: from 10.20.11.40/31 lookup 2 proto 86",
		"rule add 32765: from 10.20.11.5/32 lookup 2 proto 86",
	}
	if diff := cmp.Diff(want, texts(p)); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	if l := p.enis["eni-1"]; !l.Ready || l.Name != "eth1" || l.MTU != 9001 {
		t.Errorf("eni-1: %+v", l)
	}
	if again := texts(diff(d, follow(k, p))); len(again) != 0 {
		t.Errorf("second time: %q", again)
	}
}

// TestDiff starts from a node in order and changes one thing.
func TestDiff(t *testing.T) {
	gone := func(d *Desired, _ *kernel) { d.ENIs, d.From = d.ENIs[:1], nil }
	for _, tc := range []struct {
		name     string
		change   func(*Desired, *kernel)
		want     []string
		degraded string // a part of it
	}{
		{name: "nothing", change: func(*Desired, *kernel) {}},
		{name: "removed ENI", change: gone, want: []string{
			"rule del 1536: from 10.20.11.40/31 lookup 2 proto 86",
			"rule del 32765: from 10.20.11.5/32 lookup 2 proto 86",
			"route del 10.20.11.1/32 dev eth1 table 2 scope link proto 86",
			"route del default via 10.20.11.1 dev eth1 table 2 proto 86",
		}},
		{name: "wider source: new before old", change: func(d *Desired, _ *kernel) {
			d.From = append(d.From, From{prefixOf("10.20.11.42/32"), 2}, From{prefixOf("10.20.11.43/32"), 2})
		}, want: []string{
			"rule add 1536: from 10.20.11.40/30 lookup 2 proto 86",
			"rule del 1536: from 10.20.11.40/31 lookup 2 proto 86",
		}},
		{name: "each prefix has a rule of its own", change: func(d *Desired, _ *kernel) {
			d.From = append(d.From, From{prefixOf("10.20.12.0/28"), 2}, From{prefixOf("10.20.12.16/28"), 2})
		}, want: []string{
			"rule add 1536: from 10.20.12.0/28 lookup 2 proto 86",
			"rule add 1536: from 10.20.12.16/28 lookup 2 proto 86",
		}},
		{name: "late link", change: func(_ *Desired, k *kernel) {
			k.links = slices.DeleteFunc(k.links, func(l link) bool { return l.Name == "eth1" })
			k.routes = slices.DeleteFunc(k.routes, func(r route) bool { return r.Link == 3 })
		}, degraded: "ENI eni-1: no link has MAC 02:00:00:00:00:02 yet"},
		{name: "no primary link", change: func(d *Desired, _ *kernel) {
			d.PrimaryMAC = "02:00:00:00:00:99"
		}, degraded: "primary ENI: no link has MAC"},
		{name: "a bridge with the ENI's MAC", change: func(_ *Desired, k *kernel) {
			k.links = append([]link{{Index: 1, Name: "br0", Kind: "bridge", MAC: "02:00:00:00:00:02"}}, k.links...)
		}},
		{name: "foreign address first", change: func(_ *Desired, k *kernel) {
			k.addrs[0].Secondary = true
			k.addrs = append(k.addrs, addr{Link: 3, Prefix: prefixOf("10.20.11.77/24"), Global: true}, addr{Link: 2, Prefix: prefixOf("10.20.11.162/24"), Global: true}, addr{Link: 3, Prefix: prefixOf("169.254.7.7/16")})
		}, want: []string{
			"addr del 10.20.11.77/24 dev eth1",
			"addr add 10.20.11.5/24 dev eth1 noprefixroute",
			"route replace 10.20.11.1/32 dev eth1 table 2 scope link proto 86",
			"route replace default via 10.20.11.1 dev eth1 table 2 proto 86",
		}},
		{name: "connected route in main", change: func(_ *Desired, k *kernel) {
			k.routes = append(k.routes,
				route{Table: 254, Dst: prefixOf("10.20.11.0/24"), Link: 2, Dev: "eth0", Src: addrOf("10.20.11.162"), Scope: scopeLink, Protocol: protocolKernel, Type: typeUnicast, Plain: true},
				route{Table: 254, Dst: prefixOf("10.20.11.0/24"), Link: 3, Dev: "eth1", Src: addrOf("10.20.11.5"), Scope: scopeLink, Protocol: protocolKernel, Type: typeUnicast, Plain: true})
		}, want: []string{"route del 10.20.11.0/24 dev eth1 table 254 scope link src 10.20.11.5 proto 2"}},
		{name: "foreign rules", change: func(_ *Desired, k *kernel) {
			k.rules = append(k.rules,
				rule{Priority: 32764, Src: prefixOf("10.20.11.40/32"), Table: 77, Protocol: 3, Plain: true}, // kube-router
				rule{Priority: vpcnet.RulePods, Src: prefixOf("10.20.11.40/31"), Table: 9, Protocol: vpcnet.RouteProtocol},
				rule{Priority: vpcnet.RuleFrom, Src: prefixOf("10.20.11.200/32"), Table: 3, Plain: true})
		}},
		{name: "foreign rule in the way", change: func(_ *Desired, k *kernel) {
			k.rules = append(k.rules, rule{Priority: vpcnet.RuleFrom, Src: prefixOf("10.20.11.41/32"), Table: 3, Protocol: 3, Plain: true})
		}, degraded: `rule "1536: from 10.20.11.41/32 lookup 3 proto 3" of another program overlaps`},
		{name: "stock rules of a pod of ours", change: func(_ *Desired, k *kernel) {
			k.rules = append(k.rules,
				rule{Priority: vpcnet.RulePods, Dst: prefixOf("10.20.11.40/32"), Table: 254, Plain: true},
				rule{Priority: vpcnet.RuleFrom, Src: prefixOf("10.20.11.40/32"), Table: 3, Plain: true},
				rule{Priority: vpcnet.RulePods, Dst: prefixOf("10.20.11.99/32"), Table: 254, Plain: true})
		}, want: []string{
			"rule del 512: from all to 10.20.11.40/32 lookup 254 proto 0",
			"rule del 1536: from 10.20.11.40/32 lookup 3 proto 0",
		}},
		{name: "stock twin before ours", change: func(_ *Desired, k *kernel) {
			k.rules = append([]rule{{Priority: vpcnet.RuleENI, Src: prefixOf("10.20.11.5/32"), Table: 2, Plain: true}}, k.rules...)
		}, want: []string{"rule del 32765: from 10.20.11.5/32 lookup 2 proto 0"}},
		{name: "stock twin alone", change: func(_ *Desired, k *kernel) {
			for i := range k.rules {
				if k.rules[i].Priority == vpcnet.RuleENI {
					k.rules[i].Protocol = 0
				}
			}
		}, want: []string{
			"rule add 32765: from 10.20.11.5/32 lookup 2 proto 86",
			"rule del 32765: from 10.20.11.5/32 lookup 2 proto 0",
		}},
		{name: "stock twin behind ours stays", change: func(_ *Desired, k *kernel) {
			k.rules = append(k.rules, rule{Priority: vpcnet.RuleENI, Src: prefixOf("10.20.11.5/32"), Table: 2, Plain: true})
		}},
		{name: "stock routes are taken over", change: func(_ *Desired, k *kernel) {
			for i := range k.routes {
				if k.routes[i].Table == 2 {
					k.routes[i].Protocol = 3
				}
			}
		}, want: []string{
			"route replace 10.20.11.1/32 dev eth1 table 2 scope link proto 86",
			"route replace default via 10.20.11.1 dev eth1 table 2 proto 86",
		}},
		{name: "other tables with our protocol stay", change: func(_ *Desired, k *kernel) {
			for _, table := range []int{101, 5120, 6153, 254, 255} {
				k.routes = append(k.routes, route{Table: table, Dst: prefixOf("10.9.9.9/32"), Link: 2, Protocol: vpcnet.RouteProtocol, Type: typeUnicast, Plain: true})
			}
		}},
		{name: "pod veth that is down", change: func(_ *Desired, k *kernel) {
			k.links[3].Up = false
			k.routes = slices.DeleteFunc(k.routes, func(r route) bool { return r.Table == vpcnet.TablePods })
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d, k := twoENIs()
			k = follow(k, diff(d, k))
			tc.change(&d, &k)
			p := diff(d, k)
			if diff := cmp.Diff(tc.want, texts(p)); diff != "" {
				t.Errorf("steps (-want +got):\n%s", diff)
			}
			if all := strings.Join(p.degraded, "\n"); (tc.degraded == "") != (all == "") || !strings.Contains(all, tc.degraded) {
				t.Errorf("degraded = %q, want %q", all, tc.degraded)
			}
			if again := texts(diff(d, follow(k, p))); len(again) != 0 {
				t.Errorf("second time: %q", again)
			}
		})
	}
}

func TestDesiredRulesMerges300(t *testing.T) {
	var d Desired
	for i := range 300 {
		d.From = append(d.From, From{vpcnet.Host(netip.AddrFrom4([4]byte{10, 20, byte(i >> 8), byte(i)})), 2 + i/256})
	}
	var got []string
	for _, r := range desiredRules(d) {
		got = append(got, r.String())
	}
	want := []string{
		"512: from all lookup 5120 proto 86",
		"1536: from 10.20.0.0/24 lookup 2 proto 86",
		"1536: from 10.20.1.0/27 lookup 3 proto 86",
		"1536: from 10.20.1.32/29 lookup 3 proto 86",
		"1536: from 10.20.1.40/30 lookup 3 proto 86",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
}
