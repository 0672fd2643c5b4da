package fabric_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"github.com/vpcchain/vpcchain/integration/vm"
	"github.com/vpcchain/vpcchain/integration/vpcsim/network"
)

// Each branch has its own groups, apart from the trunk's; what goes from one to
// the other leaves the instance by one VLAN and comes back by the other.
func TestVLANGroups(t *testing.T) {
	v := newTrunk(t)
	one, two, b := v.socket(podOne, addrOne(), port), v.socket(podTwo, addrTwo(), port), v.socket(nodeB, addrB(), port)
	frames := v.frames(nodeA, "eth1")
	v.say(one, addrTwo(), port, "question")
	asked := v.hear(two, "question")
	v.say(two, asked.Addr(), asked.Port(), "answer") // no rule lets it in but the tracked flow
	v.hear(one, "answer")
	want := []frame{
		{vlanOne, "0a:00:00:00:05:0a", addrOne(), addrTwo()},
		{vlanTwo, "", addrOne(), addrTwo()},
		{vlanTwo, "0a:00:00:00:06:0a", addrTwo(), addrOne()},
		{vlanOne, "", addrTwo(), addrOne()},
	}
	if diff := cmp.Diff(want, frames(4), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("frames on the trunk's link (-want +got):\n%s", diff)
	}
	v.refused()

	v.say(b, addrOne(), port, "into one")
	v.refused(refusal(eniOne, reasonIngress, addrB(), addrOne()))
	v.say(b, addrTwo(), port, "into two")
	v.refused(refusal(eniTwo, reasonIngress, addrB(), addrTwo()))
	other := v.socket(podOne, addrOne(), 0)
	v.say(other, addrTwo(), port+1, "another port")
	closed := refusal(eniTwo, reasonIngress, addrOne(), addrTwo())
	closed.Port = port + 1
	v.refused(closed)
	v.say(one, addrB(), port, "out")
	v.hear(b, "out")

	// The trunk's own address has the trunk's group, which allows nothing.
	v.say(b, ip("10.20.1.20"), port, "to the trunk")
	v.refused(refusal(eniTrunk, reasonIngress, addrB(), ip("10.20.1.20")))

	v.plan.Ports[0].Groups = []string{"sg-two", "sg-one"}
	v.plan.Groups[4].Ingress = all()
	v.apply()
	v.say(b, addrOne(), port, "other groups")
	v.hear(one, "other groups")
	v.plan.Ports[0].Groups = []string{"sg-trunk"}
	v.apply()
	v.say(other, addrB(), port, "no group allows it")
	v.refused(refusal(eniOne, reasonEgress, addrOne(), addrB()))
}

// A branch has its own subnet's routes, whatever subnet its trunk is in.
func TestVLANSubnets(t *testing.T) {
	v := newTrunk(t)
	one, two, out := v.socket(podOne, addrOne(), port), v.socket(podTwo, addrTwo(), port), v.socket(outside, addrOutside(), port)
	v.say(one, addrOutside(), port, "through the gateway")
	if got := v.hear(out, "through the gateway").Addr(); got != addrOne() {
		t.Errorf("the host outside sees %s, want %s", got, addrOne())
	}
	v.say(two, addrOutside(), port, "no route")
	v.refused(refusal(eniTwo, reasonRoute, addrTwo(), addrOutside()))
}

func TestVLANInternet(t *testing.T) {
	vm.RequireVLAN(t)
	v := newInternet(t)
	trunkPlan(&v.plan)
	top, inPods, inPublic := &v.plan.Ports[len(v.plan.Ports)-1], &v.plan.Ports[0], &v.plan.Ports[1]
	inPods.Subnet, inPods.Primary = "subnet-pod", ip("100.64.1.30")
	inPublic.Subnet, inPublic.Primary = "subnet-a", ip("10.20.1.31")
	for _, p := range []*network.Port{top, inPods, inPublic} {
		p.Device, p.Link = 2, "eth2"
	}
	v.apply()
	v.pod(podOne, *inPods, "100.64.1.1")
	v.pod(podTwo, *inPublic, "10.20.1.1")
	v.reach(v.socket(webHost, addrWeb(), port), podOne, inPods.Primary, publicNAT())
	v.refused()
	v.say(v.socket(podTwo, inPublic.Primary, 0), addrWeb(), port, "no public address")
	want := refusal(eniTwo, reasonPublicSource, inPublic.Primary, addrWeb())
	want.Device = 2
	v.refused(want)
}

// Behind a tag the VPC takes only the branch's address and MAC, and only ids
// that a branch has; without the tag the branch's address is not the trunk's.
func TestVLANSourceCheck(t *testing.T) {
	v := newTrunk(t)
	listener, honest := v.socket(nodeB, addrB(), port), v.socket(podOne, addrOne(), 0)
	works := func(text string) {
		t.Helper()
		v.say(honest, addrB(), port, text)
		v.hear(listener, text)
	}
	works("honest")
	for _, foreign := range []netip.Addr{addrTwo(), ip("192.0.2.1")} {
		v.own(podOne, foreign)
		v.say(v.socket(podOne, foreign, 0), addrB(), port, "foreign")
		v.refused(refusal(eniOne, reasonSource, foreign, addrB()))
	}
	router := v.neighbour(podOne, ip("10.20.1.1"))
	v.mac(podOne, "0a:00:00:00:06:0a")
	v.say(honest, addrB(), port, "another MAC")
	v.refused(refusal(eniOne, reasonMAC, addrOne(), addrB()))
	v.mac(podOne, "0a:00:00:00:05:0a")
	works("the branch's MAC again")

	stray := v.plan.Ports[0]
	stray.VLAN = 7
	v.pod("pod-3", stray, "10.20.1.1")
	v.in("pod-3", func() error {
		link, err := netlink.LinkByName(podVLAN)
		if err != nil {
			return err
		}
		return netlink.NeighSet(&netlink.Neigh{LinkIndex: link.Attrs().Index, State: netlink.NUD_PERMANENT, IP: ip("10.20.1.1").AsSlice(), HardwareAddr: router})
	})
	frames := v.frames(nodeA, "eth1")
	v.say(v.socket("pod-3", addrOne(), 0), addrB(), port, "nobody's VLAN")
	if got := frames(1); got[0].VLAN != 7 {
		t.Errorf("frames %+v, want one of VLAN 7", got)
	}
	works("after nobody's VLAN")
	v.refused()

	v.in(nodeA, func() error { return secondENI(addrOne(), ip("10.20.1.1")) })
	v.say(v.socket(nodeA, addrOne(), 0), addrB(), port, "untagged")
	v.refused(refusal(eniTrunk, reasonSource, addrOne(), addrB()))
}

// A branch that goes leaves nothing, and keeps nothing for when it comes back.
func TestVLANComesAndGoes(t *testing.T) {
	v := newTrunk(t)
	v.plan.Ports = v.plan.Ports[1:] // two, and not one
	v.apply()
	before := v.router()
	one := branchPort(eniOne, vlanOne, "subnet-a", addrOne(), "0a:00:00:00:05:0a", "sg-one")
	one.Association = "trunk-assoc-other"
	v.plan.Ports = append(v.plan.Ports, one)
	v.apply()
	v.running()
	b, c := v.socket(nodeB, addrB(), port), v.socket(podOne, addrOne(), port)
	v.say(c, addrB(), port, "there")
	v.hear(b, "there")
	v.say(b, addrOne(), port, "a tracked flow")
	v.hear(c, "a tracked flow")

	v.plan.Ports = v.plan.Ports[:len(v.plan.Ports)-1]
	v.apply()
	if diff := cmp.Diff(before, v.router()); diff != "" {
		t.Errorf("the router without the branch (-before +after):\n%s", diff)
	}
	v.say(b, addrOne(), port, "nobody")
	gone := from(eniB, reasonAddress, addrB(), addrOne(), 1)
	v.refused(gone)

	one.Association, one.VLAN = "trunk-assoc-again", 9
	v.plan.Ports = append(v.plan.Ports, one)
	v.apply()
	v.pod("pod-9", one, "10.20.1.1")
	v.running()
	v.say(b, addrOne(), port, "no flow of its own")
	v.refused(refusal(eniOne, reasonIngress, addrB(), addrOne()))
	again := v.socket("pod-9", addrOne(), port)
	v.say(again, addrB(), port, "back by another id")
	v.hear(b, "back by another id")
}

// The branches go and come with their trunk, also when its link is late.
func TestVLANTrunkComesAndGoes(t *testing.T) {
	v := newTrunk(t)
	b := v.socket(nodeB, addrB(), port)
	top := v.plan.Ports[len(v.plan.Ports)-1]
	whole := v.plan.Ports
	v.plan.Ports = slices.DeleteFunc(slices.Clone(whole), func(p network.Port) bool { return p.Link == "eth1" })
	v.apply()
	v.link(nodeA, "eth1", false)
	v.say(b, addrOne(), port, "nobody")
	v.refused(from(eniB, reasonAddress, addrB(), addrOne(), 1))

	v.fabric.SetLinkDelay(50 * time.Millisecond)
	v.plan.Ports = whole
	v.apply()
	v.link(nodeA, top.Link, true)
	// The namespace was left without a link.
	v.pod("pod-late", v.plan.Ports[0], "10.20.1.1")
	v.running()
	late := v.socket("pod-late", addrOne(), port)
	v.say(late, addrB(), port, "after the trunk")
	v.hear(b, "after the trunk")

	// Somebody deletes the trunk's link in the instance: EC2 has it still.
	v.in(nodeA, func() error { return netlink.LinkDel(v.link(nodeA, "eth1", true)) })
	v.fabric.SetLinkDelay(0)
	v.apply()
	v.pod("pod-again", v.plan.Ports[0], "10.20.1.1")
	v.running()
	v.say(v.socket("pod-again", addrOne(), port), addrB(), port, "made again")
	v.hear(b, "made again")
}
