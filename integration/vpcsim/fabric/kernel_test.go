package fabric_test

import (
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/vpcchain/vpcchain/integration/vpcsim/fabric"
	"github.com/vpcchain/vpcchain/integration/vpcsim/network"
)

// What the records say; the tests compare whole records.
const (
	reasonSource  = "source check: the sender's ENI does not have the source address"
	reasonAddress = "no such address: no ENI of the VPC has the destination"
	reasonEgress  = "security group: egress of the sender's ENI"
	reasonIngress = "security group: ingress of the receiver's ENI"
	reasonRoute   = "no route: the subnet's route table has none to the destination"
)

const port = 9000

// from is a refused UDP packet on the sender's side.
func from(eni, reason string, src, dst netip.Addr, packets int) fabric.Refused {
	host := map[string]string{eniA: nodeA, eniB: nodeB}[eni]
	return fabric.Refused{ENI: eni, Host: host, Reason: reason, Source: src, Dest: dst, Protocol: "udp", Port: port, Packets: packets}
}

func TestSourceCheck(t *testing.T) {
	t.Parallel()
	v := newVPC(t, nil)
	listener, honest := v.socket(nodeB, addrB(), port), v.socket(nodeA, addrA(), 0)
	// In node-a's subnet but of no ENI, of another ENI, and of no VPC at all.
	for _, foreign := range []netip.Addr{ip("10.20.1.99"), ip("10.20.2.77"), ip("192.0.2.1")} {
		v.own(nodeA, foreign)
		if foreign == ip("10.20.2.77") {
			v.plan.Ports[1].Addresses = []netip.Addr{foreign}
			v.apply()
		}
		spoofed := v.socket(nodeA, foreign, 0)
		for range 3 {
			v.say(spoofed, addrB(), port, "spoofed")
		}
		v.refused(from(eniA, reasonSource, foreign, addrB(), 3))
		v.say(honest, addrB(), port, "honest")
		v.hear(listener, "honest")
	}

	foreign := ip("192.0.2.1")
	spoofed := v.socket(nodeA, foreign, 0)
	v.plan.Ports[0].SourceDestCheck = false
	v.apply()
	v.say(spoofed, addrB(), port, "unchecked")
	if got := v.hear(listener, "unchecked").Addr(); got != foreign {
		t.Errorf("without source check the source is %s, want %s", got, foreign)
	}
}

func TestSecurityGroups(t *testing.T) {
	t.Parallel()
	const web = 8080
	permit := func(group string) []network.Permission {
		return []network.Permission{{Protocol: "tcp", FromPort: web, ToPort: web, Groups: []string{group}}}
	}
	v := newVPC(t, func(_ *fabric.Config, plan *network.VPC) {
		plan.Groups = []network.SecurityGroup{{ID: sgA, Egress: permit(sgB)}, {ID: sgB, Ingress: permit(sgA)}}
	})
	v.echo(nodeB, addrB(), web)
	// No rule allows anything from node-b or to node-a: the replies pass as such.
	if err := v.talk(nodeA, addrB(), web, limit); err != nil {
		t.Fatalf("TCP that both groups allow: %v; refused: %+v", err, v.records())
	}
	v.refused()

	a, b := v.socket(nodeA, addrA(), port), v.socket(nodeB, addrB(), port)
	v.say(a, addrB(), port, "no rule of sg-a")
	v.refused(from(eniA, reasonEgress, addrA(), addrB(), 1))
	v.say(b, addrA(), port, "no rule of sg-b")
	v.refused(from(eniB, reasonEgress, addrB(), addrA(), 1))
	// SYNs are sent again, so only the first record is certain: another port than allowed.
	if err := v.talk(nodeA, addrB(), web+1, 200*time.Millisecond); err == nil {
		t.Error("TCP to a port that no rule allows works")
	}
	if got := v.records(); len(got) != 1 || got[0].Protocol != "tcp" || got[0].Port != web+1 || got[0].Reason != reasonEgress {
		t.Errorf("refused: %+v, want TCP to port %d", got, web+1)
	}
	must(t, v.fabric.ResetRefused())

	v.plan.Groups[0].Egress, v.plan.Groups[1].Egress = all(), all()
	v.apply()
	v.say(b, addrA(), port, "no ingress rule")
	v.refused(from(eniA, reasonIngress, addrB(), addrA(), 1))

	v.plan.Groups[1].Ingress = all()
	v.apply()
	v.say(a, addrB(), port, "question")
	reply := v.hear(b, "question")
	v.say(b, reply.Addr(), reply.Port(), "answer")
	v.hear(a, "answer")
}

func TestSecurityGroupICMP(t *testing.T) {
	t.Parallel()
	icmp := []network.Permission{{Protocol: "icmp", CIDRs: []netip.Prefix{cidr("10.20.0.0/16")}}}
	v := newVPC(t, func(_ *fabric.Config, plan *network.VPC) {
		plan.Groups = []network.SecurityGroup{{ID: sgA, Egress: icmp}, {ID: sgB, Ingress: icmp}}
	})
	v.pong(v.ping(nodeA, addrB()), addrB())
	v.refused()
	v.ping(nodeB, addrA())
	v.refused(fabric.Refused{
		ENI: eniB, Host: nodeB, Reason: reasonEgress, Source: addrB(), Dest: addrA(), Protocol: "icmp", Packets: 1,
	})
}

func TestSubnetRouteTables(t *testing.T) {
	t.Parallel()
	v := newVPC(t, nil)
	a, b, out := v.socket(nodeA, addrA(), port), v.socket(nodeB, addrB(), port), v.socket(outside, addrOutside(), port)

	v.say(b, addrOutside(), port, "subnet without a route")
	v.refused(from(eniB, reasonRoute, addrB(), addrOutside(), 1))
	v.say(a, addrOutside(), port, "through the gateway")
	if got := v.hear(out, "through the gateway").Addr(); got != addrA() {
		t.Errorf("the host outside sees %s, want %s", got, addrA())
	}
	v.say(out, addrA(), port, "back")
	v.hear(a, "back")

	nowhere := ip("172.31.7.11") // the route covers it, nobody outside has it
	v.say(a, nowhere, port, "nobody there")
	v.refused(from(eniA, reasonRoute, addrA(), nowhere, 1))
}

func TestAddressesComeAndGo(t *testing.T) {
	t.Parallel()
	v := newVPC(t, nil)
	secondary, inPrefix := ip("10.20.1.50"), ip("10.20.1.71")
	for _, a := range []netip.Addr{secondary, inPrefix} {
		v.own(nodeA, a)
	}
	first, second, sender := v.socket(nodeA, secondary, port), v.socket(nodeA, inPrefix, port), v.socket(nodeB, addrB(), 0)

	unreachable := func(a netip.Addr) {
		t.Helper()
		v.say(sender, a, port, "to nobody")
		v.refused(from(eniB, reasonAddress, addrB(), a, 1))
	}
	unreachable(secondary)
	unreachable(inPrefix)

	v.plan.Ports[0].Addresses, v.plan.Ports[0].Prefixes = []netip.Addr{secondary}, []netip.Prefix{cidr("10.20.1.64/28")}
	v.apply()
	v.say(sender, secondary, port, "assigned")
	v.hear(first, "assigned")
	v.say(sender, inPrefix, port, "in the prefix")
	back := v.hear(second, "in the prefix")
	v.say(second, back.Addr(), back.Port(), "from the prefix")
	v.hear(sender, "from the prefix")

	v.plan.Ports[0].Addresses, v.plan.Ports[0].Prefixes = nil, nil
	v.apply()
	unreachable(secondary)
	unreachable(inPrefix)

	// The same address at another ENI, while node-a still believes to have it.
	v.own(nodeB, secondary)
	moved, near := v.socket(nodeB, secondary, port), v.socket(outside, addrOutside(), 0)
	v.plan.Ports[1].Addresses = []netip.Addr{secondary}
	v.apply()
	v.say(near, secondary, port, "moved")
	v.hear(moved, "moved")
}

func TestLateLink(t *testing.T) {
	t.Parallel()
	v := newVPC(t, func(c *fabric.Config, _ *network.VPC) { c.LinkDelay = 50 * time.Millisecond })
	v.plan.Ports = append(v.plan.Ports, network.Port{
		ENI: "eni-a1", Host: nodeA, Device: 1, Link: "eth1", MAC: "0a:00:00:00:01:0a", MTU: 9001, Subnet: "subnet-a",
		Primary: ip("10.20.1.11"), SourceDestCheck: true, Groups: []string{sgA},
	})
	start := time.Now()
	v.apply()
	link := v.link(nodeA, "eth1", true)
	if took := time.Since(start); took < 50*time.Millisecond {
		t.Errorf("the link appeared after %s, before the delay", took)
	}
	if got := link.Attrs(); got.HardwareAddr.String() != "0a:00:00:00:01:0a" || got.MTU != 9001 || got.Flags&net.FlagUp != 0 {
		t.Errorf("hot-plugged link: MAC %s, MTU %d, flags %s; want the ENI's, 9001, down", got.HardwareAddr, got.MTU, got.Flags)
	}
	v.plan.Ports = v.plan.Ports[:2]
	v.apply()
	v.link(nodeA, "eth1", false)
}

// link waits until host has the link, or has not.
func (v *vpc) link(host, name string, want bool) (l netlink.Link) {
	v.t.Helper()
	for end := time.Now().Add(limit); ; time.Sleep(2 * time.Millisecond) {
		var have bool
		v.in(host, func() (err error) {
			l, err = netlink.LinkByName(name)
			if have = err == nil; errors.As(err, new(netlink.LinkNotFoundError)) {
				return nil
			}
			return err
		})
		if have == want {
			return l
		}
		if time.Now().After(end) {
			v.t.Fatalf("%s has link %s: %v, want %v", host, name, have, want)
		}
	}
}
