package fabric_test

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/vpcchain/vpcchain/integration/vm"
	"github.com/vpcchain/vpcchain/integration/vpcsim/fabric"
	"github.com/vpcchain/vpcchain/integration/vpcsim/netns"
	"github.com/vpcchain/vpcchain/integration/vpcsim/network"
)

// A trunk in node-a with two branches in different subnets, each in a pod.
const (
	eniTrunk, eniOne, eniTwo = "eni-trunk", "eni-one", "eni-two"
	podOne, podTwo           = "pod-1", "pod-2"
	vlanOne, vlanTwo         = 5, 6
	reasonMAC                = "source check: the frame does not have the MAC of the sender's branch ENI"
)

func addrOne() netip.Addr { return ip("10.20.1.30") }
func addrTwo() netip.Addr { return ip("10.20.2.30") }

func branchPort(eni string, vlan int, subnet string, a netip.Addr, mac, group string) network.Port {
	return network.Port{
		ENI: eni, Host: nodeA, Device: 1, Link: "eth1", Kind: "branch", Trunk: eniTrunk, VLAN: vlan, Association: "trunk-assoc-" + eni,
		MAC: mac, MTU: 9001, Subnet: subnet, Primary: a, SourceDestCheck: true, Groups: []string{group},
	}
}

// trunkPlan lets one speak to two's port 9000 and nobody else to either; the
// trunk's own group allows nothing. The branches come before their trunk.
func trunkPlan(plan *network.VPC) {
	plan.Groups = append(plan.Groups, network.SecurityGroup{ID: "sg-trunk"},
		network.SecurityGroup{ID: "sg-one", Egress: all()},
		network.SecurityGroup{ID: "sg-two", Egress: all(), Ingress: []network.Permission{{Protocol: "udp", FromPort: port, ToPort: port, Groups: []string{"sg-one"}}}},
	)
	plan.Ports = append([]network.Port{
		branchPort(eniOne, vlanOne, "subnet-a", addrOne(), "0a:00:00:00:05:0a", "sg-one"),
		branchPort(eniTwo, vlanTwo, "subnet-b", addrTwo(), "0a:00:00:00:06:0a", "sg-two"),
	}, plan.Ports...)
	plan.Ports = append(plan.Ports, network.Port{
		ENI: eniTrunk, Host: nodeA, Device: 1, Link: "eth1", Kind: "trunk", MAC: "0a:00:00:00:01:0a", MTU: 9001, Subnet: "subnet-a",
		Primary: ip("10.20.1.20"), SourceDestCheck: true, Groups: []string{"sg-trunk"},
	})
}

// newTrunk is the test VPC with both branches, and their pods.
func newTrunk(t *testing.T) *vpc {
	t.Helper()
	vm.RequireVLAN(t)
	v := newVPC(t, func(_ *fabric.Config, plan *network.VPC) { trunkPlan(plan) })
	v.pod(podOne, v.plan.Ports[0], "10.20.1.1")
	v.pod(podTwo, v.plan.Ports[1], "10.20.2.1")
	v.running()
	return v
}

// pod gives a branch to a namespace: the VLAN of its trunk with its MAC and address.
func (v *vpc) pod(name string, p network.Port, router string) {
	v.t.Helper()
	must(v.t, netns.NewNet(v.dir.Net(name)))
	v.in(nodeA, func() error { return podLink(p, v.dir.Net(name)) })
	v.in(name, func() error {
		link, err := netlink.LinkByName(podVLAN)
		if err != nil {
			return err
		}
		a := &netlink.Addr{IPNet: &net.IPNet{IP: p.Primary.AsSlice(), Mask: net.CIDRMask(32, 32)}}
		return errors.Join(netlink.LinkSetUp(link), netlink.AddrAdd(link, a), netlink.RouteAdd(&netlink.Route{
			LinkIndex: link.Attrs().Index, Gw: ip(router).AsSlice(), Flags: int(netlink.FLAG_ONLINK),
			Dst: &net.IPNet{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)},
		}))
	})
}

const podVLAN = "vlan0"

func podLink(p network.Port, ns string) error {
	mac, err := net.ParseMAC(p.MAC)
	if err != nil {
		return err
	}
	parent, err := netlink.LinkByName(p.Link)
	if err != nil {
		return err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.ParentIndex, attrs.HardwareAddr = podVLAN, parent.Attrs().Index, mac
	link := &netlink.Vlan{LinkAttrs: attrs, VlanId: p.VLAN, VlanProtocol: netlink.VLAN_PROTOCOL_8021Q}
	if err := errors.Join(netlink.LinkSetUp(parent), netlink.LinkAdd(link)); err != nil {
		return err
	}
	pod, err := os.Open(ns)
	if err != nil {
		return err
	}
	defer func() { _ = pod.Close() }()
	return netlink.LinkSetNsFd(link, int(pod.Fd()))
}

// running waits until every link of the router carries packets.
func (v *vpc) running() {
	v.t.Helper()
	for end := time.Now().Add(limit); ; time.Sleep(2 * time.Millisecond) {
		var down []string
		must(v.t, netns.Do(v.dir.Router(), func() error {
			links, err := netlink.LinkList()
			for _, l := range links {
				if l.Attrs().Flags&net.FlagRunning == 0 {
					down = append(down, l.Attrs().Name)
				}
			}
			return err
		}))
		if len(down) == 0 {
			return
		}
		if time.Now().After(end) {
			v.t.Fatalf("links of the router do not come up: %v", down)
		}
	}
}

// refusal is a refused UDP packet at a branch.
func refusal(eni, reason string, src, dst netip.Addr) fabric.Refused {
	return fabric.Refused{ENI: eni, Host: nodeA, Device: 1, Reason: reason, Source: src, Dest: dst, Protocol: "udp", Port: port, Packets: 1}
}

// Without 802.1Q in the kernel everything but the branches works, and the
// operator learns why they do not.
func TestBranchesOnAnyKernel(t *testing.T) {
	t.Parallel()
	var reports []error
	v := newVPC(t, func(c *fabric.Config, plan *network.VPC) {
		c.Report = func(err error) { reports = append(reports, err) }
		trunkPlan(plan)
	})
	v.apply()
	want := 2
	if vm.Probe() == nil {
		want = 0
	}
	if got := v.fabric.Problems(); len(got) != want || len(reports) != want {
		t.Errorf("%d problems, reported %d times, want %d: %v", len(got), len(reports), want, got)
	}
	v.link(nodeA, "eth1", true)
	listener, sender := v.socket(nodeB, addrB(), port), v.socket(nodeA, addrA(), 0)
	v.say(sender, addrB(), port, "beside the branches")
	v.hear(listener, "beside the branches")
	v.plan.Ports = slices.DeleteFunc(v.plan.Ports, func(p network.Port) bool { return p.VLAN != 0 })
	v.apply()
	if got := v.fabric.Problems(); len(got) != 0 {
		t.Errorf("problems of branches that are gone: %v", got)
	}
}
