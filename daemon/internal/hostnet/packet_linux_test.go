package hostnet

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/vpcchain/vpcchain/pkg/procsys"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// TestPacketsLeaveByTheirENI: a pod whose address belongs to the second ENI
// talks to a VPC host. Its packets go out by that ENI, the replies come back,
// and without rule 1536 they would leave by the primary ENI.
func TestPacketsLeaveByTheirENI(t *testing.T) {
	host := newNamespace(t)
	vpc, pod := namespaceBeside(t, host), namespaceBeside(t, host)
	podAddr := addrOf("10.20.12.50")
	connect(t, "eth0", mac0, vpc, "vpc0")
	connect(t, "eth1", mac1, vpc, "vpc1")
	connect(t, "eni0123", "02:00:00:00:00:20", pod, "eth0")
	eth0 := linkNamed(t, "eth0")
	must(t, netlink.AddrAdd(eth0, &netlink.Addr{IPNet: toIPNet(prefixOf("10.20.11.162/24"))}))
	must(t, netlink.LinkSetUp(eth0))
	must(t, netlink.LinkSetUp(linkNamed(t, "eni0123")))
	must(t, netlink.RouteAdd(&netlink.Route{LinkIndex: eth0.Attrs().Index, Dst: toIPNet(prefixOf("0.0.0.0/0")), Gw: net.IPv4(10, 20, 11, 1)}))
	inside(t, vpc, func() { // the routers of both subnets, and a host at 10.99.0.1
		for name, addr := range map[string]string{"vpc0": "10.20.11.1/24", "vpc1": "10.20.12.1/24", "lo": "10.99.0.1/32"} {
			l := linkNamed(t, name)
			must(t, netlink.AddrAdd(l, &netlink.Addr{IPNet: toIPNet(prefixOf(addr))}))
			must(t, netlink.LinkSetUp(l))
		}
		must(t, procsys.Write(rpFilter("all"), "0"))
		must(t, procsys.Write(rpFilter("vpc0"), "0"))
		// A VPC knows where an address is; pods answer no ARP on an ENI.
		permanent(t, "vpc1", podAddr, mac1)
	})
	inside(t, pod, func() {
		l := linkNamed(t, "eth0")
		must(t, netlink.AddrAdd(l, &netlink.Addr{IPNet: toIPNet(vpcnet.Host(podAddr))}))
		must(t, netlink.LinkSetUp(l))
		gw := vpcnet.PodGateway()
		must(t, netlink.RouteAdd(&netlink.Route{LinkIndex: l.Attrs().Index, Dst: toIPNet(vpcnet.Host(gw)), Scope: netlink.SCOPE_LINK}))
		must(t, netlink.RouteAdd(&netlink.Route{LinkIndex: l.Attrs().Index, Dst: toIPNet(prefixOf("0.0.0.0/0")), Gw: gw.AsSlice()}))
		permanent(t, "eth0", gw, "02:00:00:00:00:20")
	})
	h, err := New(Options{})
	must(t, err)
	t.Cleanup(h.Close)
	d := Desired{
		Primary: addrOf("10.20.11.162"), PrimaryMAC: mac0,
		ENIs: []ENI{{ID: "eni-1", MAC: mac1, Device: 1, Primary: addrOf("10.20.12.5"), Subnet: prefixOf("10.20.12.0/24")}},
		From: []From{{vpcnet.Host(podAddr), 2}}, Pods: []Pod{{podAddr, "eni0123"}},
	}
	syncOK(t, h, d)
	for ns, links := range map[netns.NsHandle][]string{host: {"eth0", "eth1", "eni0123"}, vpc: {"vpc0", "vpc1"}, pod: {"eth0"}} {
		inside(t, ns, func() { running(t, links) })
	}
	before0, before1 := received(t, vpc, "vpc0"), received(t, vpc, "vpc1")
	if err := echo(t, pod, vpc); err != nil {
		t.Fatalf("pod to VPC host and back: %v", err)
	}
	if n0, n1 := received(t, vpc, "vpc0")-before0, received(t, vpc, "vpc1")-before1; n0 != 0 || n1 == 0 {
		t.Errorf("packets of the pod: %d by the primary ENI, %d by its own", n0, n1)
	}

	d.From = nil
	syncOK(t, h, d)
	before0, before1 = received(t, vpc, "vpc0"), received(t, vpc, "vpc1")
	_ = echo(t, pod, vpc) // what comes of it does not matter here, only the way it takes
	if n0, n1 := received(t, vpc, "vpc0")-before0, received(t, vpc, "vpc1")-before1; n0 == 0 {
		t.Errorf("without rule 1536: %d packets by the primary ENI, %d by its own", n0, n1)
	}
}

// running waits until the links take packets: until the kernel has noticed their
// carrier, what is sent is lost.
func running(t *testing.T, links []string) {
	t.Helper()
	for _, name := range links {
		for end := time.Now().Add(20 * time.Second); linkNamed(t, name).Attrs().OperState != netlink.OperUp; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s does not come up", name)
			}
		}
	}
}

// namespaceBeside makes another namespace and comes back to home.
func namespaceBeside(t *testing.T, home netns.NsHandle) netns.NsHandle {
	t.Helper()
	ns, err := netns.New()
	must(t, err)
	t.Cleanup(func() { _ = ns.Close() })
	must(t, netlink.LinkSetUp(linkNamed(t, "lo")))
	// No IPv6: its chatter would be counted.
	_ = procsys.Write("net/ipv6/conf/default/disable_ipv6", "1")
	must(t, netns.Set(home))
	_ = procsys.Write("net/ipv6/conf/default/disable_ipv6", "1")
	return ns
}

func inside(t *testing.T, ns netns.NsHandle, f func()) {
	t.Helper()
	must(t, inNamespace(ns, func() error { f(); return nil }))
}

// connect makes a veth from here to a link in another namespace.
func connect(t *testing.T, name, mac string, peerNS netns.NsHandle, peer string) {
	t.Helper()
	hw, err := net.ParseMAC(mac)
	must(t, err)
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.HardwareAddr = name, hw
	must(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: peer, PeerNamespace: netlink.NsFd(int(peerNS))}))
}

func permanent(t *testing.T, link string, addr netip.Addr, mac string) {
	t.Helper()
	hw, err := net.ParseMAC(mac)
	must(t, err)
	must(t, netlink.NeighSet(&netlink.Neigh{LinkIndex: linkNamed(t, link).Attrs().Index, State: netlink.NUD_PERMANENT, IP: addr.AsSlice(), HardwareAddr: hw}))
}

// received counts the packets that came in by a link, ARP included.
func received(t *testing.T, ns netns.NsHandle, name string) (n uint64) {
	t.Helper()
	inside(t, ns, func() { n = linkNamed(t, name).Attrs().Statistics.RxPackets })
	return n
}

// echo sends datagrams from the pod to 10.99.0.1 until one comes back.
func echo(t *testing.T, pod, vpc netns.NsHandle) error {
	t.Helper()
	var server, client net.PacketConn
	inside(t, vpc, func() {
		var err error
		server, err = net.ListenPacket("udp4", "10.99.0.1:7")
		must(t, err)
	})
	inside(t, pod, func() {
		var err error
		client, err = net.ListenPacket("udp4", "10.20.12.50:0")
		must(t, err)
	})
	defer func() { _ = client.Close() }()
	done := make(chan struct{})
	defer func() { _ = server.Close(); <-done }()
	go func() {
		defer close(done)
		buf := make([]byte, 64)
		for {
			n, from, err := server.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = server.WriteTo(buf[:n], from)
		}
	}()
	var err error
	for range 5 { // the first waits for ARP between the host and the router
		if _, err = client.WriteTo([]byte("hello"), &net.UDPAddr{IP: net.IPv4(10, 99, 0, 1), Port: 7}); err != nil {
			return err
		}
		must(t, client.SetReadDeadline(time.Now().Add(200*time.Millisecond)))
		if _, _, err = client.ReadFrom(make([]byte, 64)); err == nil {
			return nil
		}
	}
	return err
}
