package main

import (
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// sees fails the test unless a connection arrives with the source.
func sees(t *testing.T, from *space, to string, port int, want string) {
	t.Helper()
	if got, err := from.seen(to, port); err != nil || got != want {
		t.Errorf("a connection to %s arrives from %q, want %s (%v)", to, got, want, err)
	}
}

const port = 8080

// Strict mode: all packets of the pod have its own address and the tag, also
// those to another pod of the node and to the node itself, whatever rp_filter is.
func TestVLANStrictPackets(t *testing.T) {
	l := newLab(t, "strict")
	a := l.pod("a", 101).add("vpc-veth", "vpc-snat", "vpc-sgpp")
	b := l.pod("b", 155).add("vpc-veth", "vpc-snat", "vpc-sgpp")
	if state := b.ns.link("eth0").Attrs().OperState; state != netlink.OperUp {
		t.Errorf("the pod's end is %s after ADD: its first packets are dropped", state)
	}
	for _, s := range []*space{l.node, l.router, a.ns, b.ns} {
		s.listen(port)
	}
	for _, rpFilter := range []string{"0", "1", "2"} {
		l.node.sysctl("ipv4/conf/all/rp_filter", rpFilter)
		l.node.sysctl("ipv4/conf/vlan.eth.101/rp_filter", rpFilter)
		before, other := l.tagged(101), l.tagged(155)
		sees(t, a.ns, internet, port, a.addr)
		sees(t, a.ns, vpcHost, port, a.addr)
		sees(t, a.ns, b.addr, port, a.addr)
		sees(t, b.ns, a.addr, port, b.addr)
		sees(t, a.ns, nodeIP, port, a.addr)
		sees(t, l.node, a.addr, port, nodeIP) // a probe of the kubelet
		sees(t, l.router, b.addr, port, branchGW)
		// A connection is three packets of the client at least.
		if n, m := l.tagged(101)-before, l.tagged(155)-other; n < 18 || m < 9 {
			t.Errorf("rp_filter %s: %d and %d tagged packets: some took another way", rpFilter, n, m)
		}
	}
	for _, p := range []*pod{a, b} {
		p.ok("vpc-veth", "CHECK", nil)
		p.ok("vpc-sgpp", "CHECK", nil)
	}
	if addrs, err := l.node.nl.AddrList(l.node.link("vlan.eth.101"), 0); err != nil || len(addrs) > 0 {
		t.Errorf("the VLAN link has addresses %v, %v", addrs, err)
	}
	// What the sysctls are for: with early demux the node's own connection finds
	// its socket when the answer comes by the host veth, and the kernel drops it.
	l.node.sysctl("ipv4/tcp_early_demux", "1")
	if got, err := l.node.seen(a.addr, port); err == nil {
		t.Errorf("the node reaches a strict pod with early demux, as %s: the sysctl need not be changed", got)
	}
	if _, err := a.run("vpc-sgpp", "CHECK", nil); err == nil || !strings.Contains(err.Error(), "early_demux") {
		t.Errorf("CHECK with early demux: %v", err)
	}
	a.del()
	b.del()
	l.emptied()
}

// emptied fails the test unless the node is as it was before the first pod. The
// values of conf/*/rp_filter are the test's own.
func (l *lab) emptied() {
	l.t.Helper()
	if diff := cmp.Diff(strings.Split(l.base, "\n"), strings.Split(withoutSNAT(l.left()), "\n")); diff != "" {
		l.t.Errorf("DEL left:\n%s", diff)
	}
}

// withoutSNAT leaves out rule 1024, which is the node's and stays.
func withoutSNAT(text string) string {
	var out []string
	for line := range strings.SplitSeq(text, "\n") {
		if !strings.HasPrefix(line, "rule 1024 ") {
			out = append(out, line)
		}
	}
	return strings.Join(out, "\n")
}

// Standard mode: what stays on the node does not touch the trunk, the VPC sees the
// pod's address by the trunk, the internet the node's.
func TestVLANStandardPackets(t *testing.T) {
	l := newLab(t, "standard")
	a := l.pod("a", 1).add("vpc-veth", "vpc-snat", "vpc-sgpp")
	b := l.pod("b", 4094).add("vpc-veth", "vpc-snat", "vpc-sgpp")
	for _, s := range []*space{l.node, l.router, a.ns, b.ns} {
		s.listen(port)
	}
	sees(t, l.node, a.addr, port, nodeIP)
	sees(t, a.ns, nodeIP, port, a.addr)
	sees(t, a.ns, b.addr, port, a.addr)
	sees(t, a.ns, internet, port, nodeIP)
	if n := l.tagged(1) + l.tagged(4094); n != 0 {
		t.Errorf("%d tagged packets of connections on the node and to the internet", n)
	}
	sees(t, a.ns, vpcHost, port, a.addr)
	sees(t, l.router, b.addr, port, branchGW)
	if n, m := l.tagged(1), l.tagged(4094); n < 3 || m < 3 {
		t.Errorf("%d and %d tagged packets to the VPC", n, m)
	}
	a.ok("vpc-veth", "CHECK", nil)
	a.ok("vpc-sgpp", "CHECK", nil)
	a.del()
	b.del()
	l.emptied()
}

// The tag does not count against the MTU: a datagram that fills an ENI's 9001
// bytes gets through unfragmented.
func TestVLANFullSize(t *testing.T) {
	l := newLab(t, "strict")
	a := l.pod("a", 7).add("vpc-veth", "vpc-sgpp")
	if mtu := l.node.link("vlan.eth.7").Attrs().MTU; mtu != 9001 {
		t.Errorf("vlan.eth.7 has MTU %d", mtu)
	}
	const size = 9001 - 20 - 8
	var conn net.PacketConn
	must(t, l.router.do(func() (err error) { conn, err = net.ListenPacket("udp4", ":9"); return err }))
	defer func() { _ = conn.Close() }()
	must(t, conn.SetReadDeadline(time.Now().Add(3*time.Second)))
	send := func(n int) error {
		return a.ns.do(func() error {
			c, err := net.Dial("udp4", vpcHost+":9")
			if err != nil {
				return err
			}
			defer func() { _ = c.Close() }()
			_, err = c.Write(make([]byte, n))
			return err
		})
	}
	must(t, send(size))
	buf := make([]byte, 10000)
	if n, from, err := conn.ReadFrom(buf); err != nil || n != size || !strings.HasPrefix(from.String(), a.addr+":") {
		t.Errorf("%d bytes from %v, %v", n, from, err)
	}
	a.del()
	l.emptied()
}

// Without vpc-sgpp in the chain, or before it ran, the pod has no way out and
// nobody a way in.
func TestVLANClosedWithoutSGPP(t *testing.T) {
	l := newLab(t, "strict")
	a := l.pod("a", 3).add("vpc-veth", "vpc-snat")
	l.router.listen(port)
	if got, err := a.ns.seen(vpcHost, port); err == nil {
		t.Errorf("a pod without vpc-sgpp gets out, as %s", got)
	}
	if _, err := l.node.nl.LinkByName(vpcnet.BranchLink(3)); err == nil {
		t.Error("somebody made the VLAN link")
	}
	// vpc-veth alone has told the result; it is complete after vpc-sgpp.
	a.add("vpc-sgpp")
	sees(t, a.ns, vpcHost, port, a.addr)
	if _, err := os.Stat(l.facts); err != nil {
		t.Error(err)
	}
	a.del()
	l.emptied()
}

// Upstream bandwidth shapes a pod with a branch as any other: it finds the host
// veth where it always is.
func TestVLANBandwidthBehind(t *testing.T) {
	l := newLab(t, "strict")
	l.router.listen(port)
	a := l.pod("a", 8).add("vpc-veth", "vpc-sgpp")
	limits := map[string]any{"ingressRate": 8_000_000, "ingressBurst": 8_000_000, "egressRate": 8_000_000, "egressBurst": 8_000_000}
	conf := map[string]any{"runtimeConfig": map[string]any{"bandwidth": limits}}
	a.ok("cni/bandwidth", "ADD", conf)
	qdiscs, err := l.node.nl.QdiscList(l.node.link(a.hostVeth()))
	if err != nil || !slices.ContainsFunc(qdiscs, func(q netlink.Qdisc) bool { return q.Type() == "tbf" || q.Type() == "htb" }) {
		t.Errorf("the host veth has %v, %v", qdiscs, err)
	}
	sees(t, a.ns, vpcHost, port, a.addr)
	a.ok("vpc-sgpp", "CHECK", nil)
	a.ok("cni/bandwidth", "DEL", conf)
	a.del()
	l.emptied()
}
