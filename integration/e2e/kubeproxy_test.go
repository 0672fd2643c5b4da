package e2e

import (
	"fmt"
	"net/netip"
	"strings"
)

// service is what kube-proxy would be told: a ClusterIP, or a NodePort, and its
// one endpoint.
type service struct {
	name     string
	cluster  netip.AddrPort // ClusterIP and port; invalid: none
	nodePort uint16         // 0: none
	local    bool           // externalTrafficPolicy Local: no masquerading
	endpoint netip.AddrPort
}

// iptablesProxy is a shell script that makes the rules that kube-proxy's iptables
// mode makes for the services: its chains, in its order, with its marks.
func iptablesProxy(services []service) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("set -e; ipt() { iptables -t nat \"$@\"; }")
	for _, c := range []string{"KUBE-SERVICES", "KUBE-NODEPORTS", "KUBE-MARK-MASQ", "KUBE-POSTROUTING"} {
		line("ipt -N %s", c)
	}
	line("ipt -A KUBE-MARK-MASQ -j MARK --or-mark 0x4000")
	line("ipt -A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN")
	line("ipt -A KUBE-POSTROUTING -j MARK --xor-mark 0x4000")
	line("ipt -A KUBE-POSTROUTING -m comment --comment 'kubernetes service traffic requiring SNAT' -j MASQUERADE --random-fully")
	for i, s := range services {
		svc, sep := fmt.Sprintf("KUBE-SVC-%04d", i), fmt.Sprintf("KUBE-SEP-%04d", i)
		line("ipt -N %s; ipt -N %s", svc, sep)
		line("ipt -A %s -s %s/32 -j KUBE-MARK-MASQ", sep, s.endpoint.Addr())
		line("ipt -A %s -p tcp -j DNAT --to-destination %s", sep, s.endpoint)
		line("ipt -A %s -j %s", svc, sep)
		if s.cluster.IsValid() {
			line("ipt -A KUBE-SERVICES -d %s/32 -p tcp --dport %d -m comment --comment 'default/%s cluster IP' -j %s", s.cluster.Addr(), s.cluster.Port(), s.name, svc)
		}
		if s.nodePort != 0 {
			ext := fmt.Sprintf("KUBE-EXT-%04d", i)
			line("ipt -N %s", ext)
			if !s.local {
				line("ipt -A %s -j KUBE-MARK-MASQ", ext)
			}
			line("ipt -A %s -j %s", ext, svc)
			line("ipt -A KUBE-NODEPORTS -p tcp --dport %d -j %s", s.nodePort, ext)
		}
	}
	line("ipt -A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS")
	line("ipt -I PREROUTING -m comment --comment 'kubernetes service portals' -j KUBE-SERVICES")
	line("ipt -I OUTPUT -m comment --comment 'kubernetes service portals' -j KUBE-SERVICES")
	line("ipt -I POSTROUTING -m comment --comment 'kubernetes postrouting rules' -j KUBE-POSTROUTING")
	return b.String()
}

// nftProxy is the same in the shape of kube-proxy's nftables mode: a table of its
// own with verdict maps for service addresses and node ports.
func nftProxy(services []service) string {
	var b, ips, ports strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("nft -f - <<'EOF'\ntable ip kube-proxy {")
	for i, s := range services {
		line("chain endpoint-%d { ip saddr %s jump mark-for-masquerade\n meta l4proto tcp dnat to %s\n }", i, s.endpoint.Addr(), s.endpoint)
		line("chain service-%d { numgen random mod 1 vmap { 0 : goto endpoint-%d }\n }", i, i)
		if s.cluster.IsValid() {
			fmt.Fprintf(&ips, "%s . tcp . %d : goto service-%d, ", s.cluster.Addr(), s.cluster.Port(), i)
		}
		if s.nodePort != 0 {
			mark := ""
			if !s.local {
				mark = "jump mark-for-masquerade\n "
			}
			line("chain external-%d { %sgoto service-%d\n }", i, mark, i)
			fmt.Fprintf(&ports, "tcp . %d : goto external-%d, ", s.nodePort, i)
		}
	}
	line("chain mark-for-masquerade { meta mark set meta mark | 0x4000\n }")
	line("map service-ips { type ipv4_addr . inet_proto . inet_service : verdict; elements = { %s }\n }", strings.TrimSuffix(ips.String(), ", "))
	line("map service-nodeports { type inet_proto . inet_service : verdict; elements = { %s }\n }", strings.TrimSuffix(ports.String(), ", "))
	line("chain services { ip daddr . meta l4proto . th dport vmap @service-ips\n fib daddr type local ip daddr != 127.0.0.0/8 meta l4proto . th dport vmap @service-nodeports\n }")
	line("chain masquerading { meta mark & 0x4000 == 0 return\n meta mark set meta mark ^ 0x4000\n masquerade fully-random\n }")
	line("chain nat-prerouting { type nat hook prerouting priority dstnat; jump services\n }")
	line("chain nat-output { type nat hook output priority -100; jump services\n }")
	line("chain nat-postrouting { type nat hook postrouting priority srcnat; jump masquerading\n }")
	line("}\nEOF")
	return b.String()
}
