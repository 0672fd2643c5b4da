package fabric_test

import (
	"bytes"
	"crypto/rand"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vpcchain/vpcchain/integration/vpcsim/fabric"
	"github.com/vpcchain/vpcchain/integration/vpcsim/instance"
	"github.com/vpcchain/vpcchain/integration/vpcsim/netns"
	"github.com/vpcchain/vpcchain/integration/vpcsim/network"
)

const (
	webHost, natHost   = "web", "nat-a"
	reasonPublicSource = "internet gateway: the source has no public address"
	reasonPublicDest   = "internet gateway: the destination is no public address of the VPC"
)

func addrWeb() netip.Addr   { return ip("52.78.83.169") }
func publicA() netip.Addr   { return ip("54.70.11.162") }
func publicNAT() netip.Addr { return ip("54.70.14.10") }
func addrNAT() netip.Addr   { return ip("10.20.14.10") }
func podAddr() netip.Addr   { return ip("100.64.1.20") }

// newInternet is the test VPC with node-a in a public subnet and with an ENI in
// a pod subnet that is routed to a NAT gateway, and a host on the internet.
func newInternet(t *testing.T) *vpc {
	t.Helper()
	v := makeVPC(t, func(c *fabric.Config, plan *network.VPC) {
		for _, host := range []string{webHost, natHost} {
			must(t, netns.NewNet(c.HostNS(host)))
		}
		c.External = append(c.External, fabric.External{Name: webHost, Gateway: "igw", Internet: true, IP: addrWeb()})
		internetPlan(plan)
	})
	must(t, instance.Boot(v.dir, webHost, instance.Addr{Prefix: netip.PrefixFrom(addrWeb(), 32)}, false))
	must(t, instance.Boot(v.dir, natHost, instance.InSubnet(addrNAT(), cidr("10.20.14.0/24")), false))
	must(t, fabric.MakeNATGateway(v.dir.Net(natHost), addrNAT()))
	v.in(nodeA, func() error { return secondENI(podAddr(), ip("100.64.1.1")) })
	must(t, v.fabric.Ready([]string{nodeA, nodeB, outside, webHost, natHost}, limit))
	return v
}

func internetPlan(plan *network.VPC) {
	plan.CIDRs = append(plan.CIDRs, cidr("100.64.0.0/16"))
	plan.Subnets = append(
		plan.Subnets, network.Subnet{ID: "subnet-pod", CIDR: cidr("100.64.1.0/24"), AZ: "az-a", RouteTable: "rtb-pods"},
		network.Subnet{ID: "subnet-nat", CIDR: cidr("10.20.14.0/24"), AZ: "az-a", RouteTable: "rtb-out"},
	)
	everything := cidr("0.0.0.0/0")
	plan.RouteTables[1].Routes = append(plan.RouteTables[1].Routes, network.Route{Dst: everything, Target: "igw"})
	plan.RouteTables = append(plan.RouteTables, network.RouteTable{ID: "rtb-pods", Routes: []network.Route{
		{Dst: cidr("172.31.0.0/16"), Target: "vgw"}, {Dst: everything, Target: natHost},
	}})
	// Ingress from the VPC only: replies pass since the group is stateful.
	plan.Groups[0].Ingress = []network.Permission{{Protocol: "-1", CIDRs: plan.CIDRs}}
	plan.Ports[0].PublicIPs = map[netip.Addr]netip.Addr{addrA(): publicA()}
	plan.Ports = append(plan.Ports, network.Port{
		ENI: "eni-a1", Host: nodeA, Device: 1, Link: "eth1", MAC: "0a:00:00:00:01:0a", MTU: 9001, Subnet: "subnet-pod",
		Primary: ip("100.64.1.10"), Addresses: []netip.Addr{podAddr()}, SourceDestCheck: true, Groups: []string{sgA},
	}, network.Port{
		ENI: "eni-nat", Host: natHost, Link: "eth0", MAC: "0a:00:00:00:02:0a", MTU: 9001, Subnet: "subnet-nat", Primary: addrNAT(),
		NATGateway: true, PublicIPs: map[netip.Addr]netip.Addr{addrNAT(): publicNAT()},
	})
}

// secondENI configures eth1 as a CNI does: what comes from the address leaves by it.
func secondENI(a, router netip.Addr) error {
	for _, link := range []string{"all", "eth1"} {
		if err := os.WriteFile("/proc/sys/net/ipv4/conf/"+link+"/rp_filter", []byte("0"), 0o600); err != nil {
			return err
		}
	}
	l, err := netlink.LinkByName("eth1")
	if err != nil {
		return err
	}
	if err := netlink.LinkSetUp(l); err != nil {
		return err
	}
	if err := netlink.AddrAdd(l, &netlink.Addr{IPNet: &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(32, 32)}}); err != nil {
		return err
	}
	const table = 10
	rule := netlink.NewRule()
	rule.Src, rule.Table, rule.Priority = &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(32, 32)}, table, 100
	if err := netlink.RuleAdd(rule); err != nil {
		return err
	}
	return netlink.RouteAdd(&netlink.Route{
		LinkIndex: l.Attrs().Index, Gw: router.AsSlice(), Flags: int(netlink.FLAG_ONLINK), Table: table,
		Dst: &net.IPNet{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)},
	})
}

// reach sends a packet from a to the host on the internet, which sees it come
// from want; the reply comes back to a.
func (v *vpc) reach(server *net.UDPConn, host string, a, want netip.Addr) {
	v.t.Helper()
	c := v.socket(host, a, 0)
	text := "from " + a.String()
	// A hot-plugged link may lose the first packets.
	for end := time.Now().Add(limit); ; {
		v.say(c, addrWeb(), port, text)
		must(v.t, server.SetReadDeadline(time.Now().Add(100*time.Millisecond)))
		buf := make([]byte, 100)
		n, from, err := server.ReadFromUDPAddrPort(buf)
		if err != nil && time.Now().Before(end) {
			continue
		}
		must(v.t, err)
		if string(buf[:n]) != text || from.Addr() != want {
			v.t.Fatalf("the internet sees %q from %s, want it from %s", buf[:n], from, want)
		}
		v.say(server, from.Addr(), from.Port(), "reply")
		if got := v.hear(c, "reply"); got.Addr() != addrWeb() {
			v.t.Errorf("the reply comes from %s, want %s", got, addrWeb())
		}
		return
	}
}

func TestInternetGateway(t *testing.T) {
	t.Parallel()
	v := newInternet(t)
	server := v.socket(webHost, addrWeb(), port)
	v.reach(server, nodeA, addrA(), publicA())
	v.pong(v.ping(nodeA, addrWeb()), addrWeb())
	v.refused()
	v.bulk(nodeA, addrA())

	secondary := ip("10.20.1.50")
	v.own(nodeA, secondary)
	v.plan.Ports[0].Addresses = []netip.Addr{secondary}
	v.apply()
	c := v.socket(nodeA, secondary, port)
	v.say(c, addrWeb(), port, "no public address")
	v.refused(from(eniA, reasonPublicSource, secondary, addrWeb(), 1))

	outsider := v.socket(webHost, addrWeb(), 0)
	v.say(outsider, publicA(), port, "unsolicited")
	v.refused(from(eniA, reasonIngress, addrWeb(), addrA(), 1))
	for _, private := range []netip.Addr{addrA(), ip("54.70.11.163"), ip("169.254.169.254")} {
		v.say(outsider, private, port, "not public")
		v.refused(fabric.Refused{
			Host: webHost, Reason: reasonPublicDest, Source: addrWeb(), Dest: private, Protocol: "udp", Port: port, Packets: 1,
		})
	}
	// The address on premises is none of the internet's business.
	v.say(outsider, addrOutside(), port, "to the other gateway")
	v.refused(fabric.Refused{
		Host: webHost, Reason: reasonPublicDest, Source: addrWeb(), Dest: addrOutside(), Protocol: "udp", Port: port, Packets: 1,
	})
}

func TestNATGateway(t *testing.T) {
	t.Parallel()
	v := newInternet(t)
	server := v.socket(webHost, addrWeb(), port)
	v.reach(server, nodeA, podAddr(), publicNAT())
	v.bulk(nodeA, podAddr())
	v.refused()

	flow := podAddr().String()
	if got := v.conntrack(v.dir.Net(natHost)); !strings.Contains(got, flow) {
		t.Errorf("the NAT gateway does not track the flow of %s:\n%s", flow, got)
	}
	if got := v.conntrack(v.dir.Router()); got != "" {
		t.Errorf("the router tracks connections:\n%s", got)
	}

	// On premises is not behind the NAT gateway, and nobody else on the internet is there.
	out := v.socket(outside, addrOutside(), port)
	c := v.socket(nodeA, podAddr(), 0)
	v.say(c, addrOutside(), port, "through the other gateway")
	if got := v.hear(out, "through the other gateway").Addr(); got != podAddr() {
		t.Errorf("on premises sees %s, want %s", got, podAddr())
	}
	v.say(c, ip("192.0.2.1"), port, "nowhere")
	v.refused(fabric.Refused{
		ENI: "eni-nat", Host: natHost, Reason: reasonRoute, Source: addrNAT(), Dest: ip("192.0.2.1"), Protocol: "udp", Port: port, Packets: 1,
	})
	// Unsolicited packets end at the NAT gateway.
	v.say(v.socket(webHost, addrWeb(), 0), publicNAT(), port, "unsolicited")
	v.reach(server, nodeA, podAddr(), publicNAT())
}

func (v *vpc) conntrack(ns string) (text string) {
	v.t.Helper()
	must(v.t, netns.Do(ns, func() error {
		flows, err := netlink.ConntrackTableList(netlink.ConntrackTable, unix.AF_INET)
		for _, f := range flows {
			text += f.String() + "\n"
		}
		return err
	}))
	return text
}

// bulk moves data over TCP both ways. A veth leaves the checksum of a packet to
// hardware that it has not: each rewrite must keep what is there of it right.
func (v *vpc) bulk(host string, a netip.Addr) {
	v.t.Helper()
	v.echo(webHost, addrWeb(), port+1)
	data := make([]byte, 1<<20)
	_, _ = rand.Read(data)
	v.in(host, func() error {
		d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(a, 0)), Timeout: limit}
		c, err := d.DialContext(v.t.Context(), "tcp4", netip.AddrPortFrom(addrWeb(), port+1).String())
		if err != nil {
			return err
		}
		defer func() { _ = c.Close() }()
		if err := c.SetDeadline(time.Now().Add(limit)); err != nil {
			return err
		}
		go func() { _, _ = c.Write(data) }()
		got := make([]byte, len(data))
		if _, err := io.ReadFull(c, got); err != nil {
			return err
		}
		if !bytes.Equal(got, data) {
			v.t.Errorf("TCP from %s gives back other data", a)
		}
		return nil
	})
	for _, h := range []string{host, webHost} {
		if got := v.checksumErrors(h); got != "0" {
			v.t.Errorf("%s TCP checksums are wrong at %s", got, h)
		}
	}
}

func (v *vpc) checksumErrors(host string) (count string) {
	v.t.Helper()
	v.in(host, func() error {
		raw, err := os.ReadFile("/proc/thread-self/net/snmp")
		var names []string
		for line := range strings.Lines(string(raw)) {
			if fields := strings.Fields(line); fields[0] == "Tcp:" && names == nil {
				names = fields
			} else if fields[0] == "Tcp:" {
				count = fields[slices.Index(names, "InCsumErrors")]
			}
		}
		return err
	})
	return count
}
