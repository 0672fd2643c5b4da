package fabric_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/vpcchain/vpcchain/integration/vpcsim/fabric"
	"github.com/vpcchain/vpcchain/integration/vpcsim/netns"
	"github.com/vpcchain/vpcchain/integration/vpcsim/network"
)

// second is another ENI in node-b's subnet.
func second(eni, host string) network.Port {
	return network.Port{
		ENI: eni, Host: host, Device: 1, Link: "eth1", MAC: "0a:00:00:00:01:0b", MTU: 9001, Subnet: "subnet-b",
		Primary: ip("10.20.2.11"), SourceDestCheck: true, Groups: []string{sgB},
	}
}

// fails applies a plan of which a part cannot be done.
func (v *vpc) fails(texts ...string) {
	v.t.Helper()
	err := v.fabric.Apply(v.plan)
	for _, text := range texts {
		if err == nil || !strings.Contains(err.Error(), text) {
			v.t.Fatalf("Apply: %v, want an error about %q", err, text)
		}
	}
}

func TestApplyTriesAgain(t *testing.T) {
	t.Parallel()
	v := newVPC(t, nil)
	// Before the good ones, so that a return at the first error would show.
	bad := second("eni-no-mac", nodeB)
	bad.MAC, bad.Primary = "none", ip("10.20.2.12")
	v.plan.Ports = append([]network.Port{bad, second("eni-ghost", "ghost")}, v.plan.Ports...)
	v.plan.Ports[2].Addresses = append(v.plan.Ports[2].Addresses, ip("10.20.1.50"))
	v.own(nodeA, ip("10.20.1.50"))
	for range 2 {
		v.fails("eni-ghost in ghost", "eni-no-mac in node-b")
	}
	listener, sender := v.socket(nodeA, ip("10.20.1.50"), port), v.socket(nodeB, addrB(), 0)
	v.say(sender, ip("10.20.1.50"), port, "the rest is done")
	v.hear(listener, "the rest is done")

	must(t, netns.NewNet(v.dir.Net("ghost")))
	v.plan.Ports = v.plan.Ports[1:]
	v.apply()
	v.link("ghost", "eth1", true)
}

func TestLateFailureIsReported(t *testing.T) {
	t.Parallel()
	reports := make(chan error, 1)
	v := newVPC(t, func(c *fabric.Config, _ *network.VPC) {
		c.LinkDelay, c.Report = 5*time.Millisecond, func(err error) { reports <- err }
	})
	v.plan.Ports = append(v.plan.Ports, second("eni-ghost", "ghost"))
	v.apply()
	select {
	case err := <-reports:
		if !strings.Contains(err.Error(), "eni-ghost in ghost") {
			t.Errorf("reported: %v", err)
		}
	case <-time.After(limit):
		t.Fatal("nothing is reported about a late link that cannot be made")
	}
	v.fails("eni-ghost in ghost")
	must(t, netns.NewNet(v.dir.Net("ghost")))
	v.apply()
	v.link("ghost", "eth1", true)
}

func TestDeletedLinkComesBack(t *testing.T) {
	t.Parallel()
	v := newVPC(t, nil)
	v.plan.Ports = append(v.plan.Ports, second("eni-b1", nodeB))
	v.apply()
	link := v.link(nodeB, "eth1", true)
	v.in(nodeB, func() error { return netlink.LinkDel(link) })
	v.apply()
	v.in(nodeB, func() error {
		l, err := netlink.LinkByName("eth1")
		if err != nil {
			return err
		}
		return netlink.LinkSetUp(l)
	})
	v.own(nodeB, ip("10.20.2.11"))
	// The way back is eth0's.
	v.in(nodeB, func() error {
		for _, link := range []string{"all", "eth1"} {
			if err := os.WriteFile("/proc/sys/net/ipv4/conf/"+link+"/rp_filter", []byte("0"), 0o600); err != nil {
				return err
			}
		}
		return nil
	})
	v.plan.Ports[1].SourceDestCheck = false
	v.apply()
	v.echo(nodeB, ip("10.20.2.11"), port)
	must(t, v.talk(nodeA, ip("10.20.2.11"), port, limit))
}

func TestRouteTablesChange(t *testing.T) {
	t.Parallel()
	v := newVPC(t, nil)
	a, b, out := v.socket(nodeA, addrA(), port), v.socket(nodeB, addrB(), port), v.socket(outside, addrOutside(), port)
	passes := func(text string) {
		t.Helper()
		v.say(a, addrOutside(), port, text)
		v.hear(out, text)
	}
	stops := func() {
		t.Helper()
		v.say(a, addrOutside(), port, "no route")
		v.refused(from(eniA, reasonRoute, addrA(), addrOutside(), 1))
	}
	passes("at first")
	vgw := v.plan.RouteTables[1].Routes
	v.plan.RouteTables[1].Routes = nil
	v.apply()
	stops()

	// A narrower route to a gateway where nobody has the address wins, as in EC2.
	v.plan.RouteTables[1].Routes = append([]network.Route{{Dst: cidr("172.31.7.0/24"), Target: "igw"}}, vgw...)
	v.apply()
	stops()
	v.plan.RouteTables[1].Routes = vgw
	v.apply()
	passes("restored")

	v.plan.Subnets[0].RouteTable, v.plan.Subnets[1].RouteTable = "rtb-local", "rtb-out"
	v.apply()
	stops()
	v.say(b, addrOutside(), port, "from the other subnet")
	v.hear(out, "from the other subnet")
	// The tables keep their numbers when one before them goes.
	v.plan.RouteTables = v.plan.RouteTables[1:]
	v.plan.Subnets[0].RouteTable = "rtb-out"
	v.apply()
	passes("in the table that is left")
}
