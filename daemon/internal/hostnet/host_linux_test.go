package hostnet

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"github.com/vpcchain/vpcchain/pkg/procsys"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

func TestSyncGolden(t *testing.T) {
	h, d := nodeWith3(t)
	before := map[string]string{}
	for _, p := range []string{ipForward, rpFilter("eth0")} {
		before[p] = readSysctl(t, p)
	}
	obs := syncOK(t, h, d)
	compareGolden(t, goldenNode)
	for _, id := range []string{"eni-0", "eni-1", "eni-2"} {
		if l := obs.ENIs[id]; !l.Ready || l.Reason != "" || l.MTU != 9001 || l.Index == 0 {
			t.Errorf("%s: %+v", id, l)
		}
	}
	if obs.Primary.Name != "eth0" || !obs.Primary.Ready {
		t.Errorf("primary: %+v", obs.Primary)
	}
	raw, err := os.ReadFile(filepath.Join(h.stateDir, SysctlFile))
	if before[ipForward] != "1" {
		must(t, err)
		if !strings.Contains(string(raw), `"net/ipv4/ip_forward": "`+before[ipForward]+`"`) {
			t.Errorf("remembered sysctls: %s", raw)
		}
	}

	events := newMonitor(t)
	for range 3 {
		if obs := syncOK(t, h, d); len(obs.Repaired) != 0 || len(obs.Degraded) != 0 {
			t.Errorf("Sync of a node in order: %+v", obs)
		}
	}
	if n := events.count(t); n != 0 {
		t.Errorf("Sync of a node in order caused %d kernel messages", n)
	}
}

// TestSyncRepairs breaks one thing after the other by hand and wants it back,
// with exactly the steps that it takes.
func TestSyncRepairs(t *testing.T) {
	h, d := nodeWith3(t)
	syncOK(t, h, d)
	eth1, eth0 := linkNamed(t, "eth1"), linkNamed(t, "eth0")
	delRoute := func(table int, dst string, scope netlink.Scope) error {
		return netlink.RouteDel(&netlink.Route{Table: table, Dst: toIPNet(prefixOf(dst)), Scope: scope})
	}
	external := ruleOf(vpcnet.RuleExternal, "", vpcnet.TableMain, 0)
	external.Dst = toIPNet(prefixOf("192.0.2.0/24"))
	gw := "route replace 10.20.11.1/32 dev eth1 table 2 scope link proto 86"
	def := "route replace default via 10.20.11.1 dev eth1 table 2 proto 86"
	for _, tc := range []struct {
		name     string
		damage   func() error
		repaired []string
	}{
		{"rule 512", func() error { return netlink.RuleDel(ruleOf(512, "", 5120, 0)) }, []string{"rule add 512: from all lookup 5120 proto 86"}},
		{"rule 1535", func() error { return netlink.RuleDel(external) }, []string{"rule add 1535: from all to 192.0.2.0/24 lookup 254 proto 86"}},
		{"rule 1536", func() error { return netlink.RuleDel(ruleOf(1536, "10.20.11.40/31", 2, 0)) }, []string{"rule add 1536: from 10.20.11.40/31 lookup 2 proto 86"}},
		{"rule 32765", func() error { return netlink.RuleDel(ruleOf(32765, "10.20.11.5/32", 2, 0)) }, []string{"rule add 32765: from 10.20.11.5/32 lookup 2 proto 86"}},
		{"default route", func() error { return delRoute(2, "0.0.0.0/0", netlink.SCOPE_UNIVERSE) }, []string{def}},
		{"router route", func() error { return delRoute(2, "10.20.11.1/32", netlink.SCOPE_LINK) }, []string{gw}},
		{"pod route", func() error { return delRoute(5120, "10.20.11.40/32", netlink.SCOPE_LINK) }, []string{
			"route replace 10.20.11.40/32 dev eni0123 table 5120 scope link src 10.20.11.162 proto 86",
		}},
		{"link down", func() error { return netlink.LinkSetDown(eth1) }, []string{"link set eth1 up", gw, def}},
		{"MTU", func() error { return netlink.LinkSetMTU(eth1, 1400) }, []string{"link set eth1 mtu 9001"}},
		{"primary MTU", func() error { return netlink.LinkSetMTU(eth0, 1500) }, []string{"link set eth0 mtu 9001"}},
		{"address", func() error {
			return netlink.AddrDel(eth1, &netlink.Addr{IPNet: toIPNet(prefixOf("10.20.11.5/24"))})
		}, []string{"addr add 10.20.11.5/24 dev eth1 noprefixroute", gw, def}},
		{"foreign address", func() error {
			return netlink.AddrAdd(eth1, &netlink.Addr{IPNet: toIPNet(prefixOf("10.20.11.40/24"))})
		}, []string{
			"addr del 10.20.11.40/24 dev eth1", gw, def,
			"route del 10.20.11.0/24 dev eth1 table 254 scope link src 10.20.11.40 proto 2",
		}},
		{"ip_forward", func() error { return procsys.Write(ipForward, "0") }, []string{"sysctl net/ipv4/ip_forward 0 -> 1"}},
		{"rp_filter", func() error { return procsys.Write(rpFilter("eth0"), "1") }, []string{"sysctl net/ipv4/conf/eth0/rp_filter 1 -> 2"}},
		{"stale rule of ours", func() error { return netlink.RuleAdd(ruleOf(1536, "10.20.11.99/32", 2, vpcnet.RouteProtocol)) }, []string{"rule del 1536: from 10.20.11.99/32 lookup 2 proto 86"}},
	} {
		must(t, tc.damage())
		obs := syncOK(t, h, d)
		// A connected route that went with its address is planned but finds nothing to do.
		want := slices.DeleteFunc(tc.repaired, func(s string) bool { return strings.Contains(s, "proto 2") })
		if diff := cmp.Diff(want, obs.Repaired); diff != "" {
			t.Errorf("%s: repaired (-want +got):\n%s", tc.name, diff)
		}
		compareGolden(t, goldenNode)
	}
}

// TestSyncTakesOverALinkThatTheSystemConfigured: DHCP gave the ENI all its
// addresses, a foreign one first, so that ours is "secondary" to the kernel.
func TestSyncTakesOverALinkThatTheSystemConfigured(t *testing.T) {
	h, d := nodeWith3(t)
	eth1 := linkNamed(t, "eth1")
	must(t, netlink.LinkSetUp(eth1))
	for _, a := range []string{"10.20.11.41/24", "10.20.11.5/24", "10.20.11.40/24", "172.16.0.1/12"} {
		must(t, netlink.AddrAdd(eth1, &netlink.Addr{IPNet: toIPNet(prefixOf(a))}))
	}
	syncOK(t, h, d)
	want := goldenNode
	compareGolden(t, want)
	if obs := syncOK(t, h, d); len(obs.Repaired) != 0 {
		t.Errorf("second Sync repaired %q", obs.Repaired)
	}
}

func TestSyncLateLink(t *testing.T) {
	h, d := nodeWith3(t)
	const mac3 = "02:00:00:00:00:13"
	late := ENI{ID: "eni-3", MAC: mac3, Device: 2, Primary: addrOf("10.20.11.6"), Subnet: prefixOf("10.20.11.0/24")}
	d.ENIs = append(d.ENIs, late)
	obs := syncOK(t, h, d)
	if l := obs.ENIs["eni-3"]; l.Ready || !strings.Contains(l.Reason, mac3) {
		t.Errorf("absent link: %+v", l)
	}
	if !obs.ENIs["eni-1"].Ready {
		t.Errorf("the link beside: %+v", obs.ENIs["eni-1"])
	}
	changes, err := h.Watch(t.Context())
	must(t, err)
	addENI(t, "eth3", mac3)
	<-changes
	if l := syncOK(t, h, d).ENIs["eni-3"]; !l.Ready || l.Name != "eth3" {
		t.Errorf("after the link came: %+v", l)
	}
}

func TestSyncRemovedENILeavesNothing(t *testing.T) {
	h, d := nodeWith3(t)
	all := d
	without := d
	without.ENIs, without.From, without.Pods, without.External = d.ENIs[:1], nil, nil, nil
	syncOK(t, h, without)
	// The link stays, as while EC2 detaches: its own state is up and its address.
	want := keep(readBack(t), "rule", "route")
	syncOK(t, h, all)
	syncOK(t, h, without)
	got := keep(readBack(t), "rule", "route")
	got = slices.DeleteFunc(got, func(l string) bool { return strings.Contains(l, "table 5120") }) // the pod is vpc-veth's
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("after the ENIs went (-want +got):\n%s", diff)
	}
	// The link itself gone first: nothing to delete any more, and no error.
	syncOK(t, h, all)
	must(t, netlink.LinkDel(linkNamed(t, "eth1")))
	must(t, netlink.LinkDel(linkNamed(t, "eth2")))
	syncOK(t, h, without)
	got = slices.DeleteFunc(keep(readBack(t), "rule", "route"), func(l string) bool { return strings.Contains(l, "table 5120") })
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("after the links went (-want +got):\n%s", diff)
	}
}

func keep(text string, words ...string) []string {
	var out []string
	for line := range strings.SplitSeq(text, "\n") {
		if slices.ContainsFunc(words, func(w string) bool { return strings.HasPrefix(line, w+" ") }) {
			out = append(out, line)
		}
	}
	return out
}

// TestSyncBesideOthers: kube-router's rule and table, and what a stock aws-node
// left: rule 512 of a pod of its own, rule 1536 of one, 32765 equal to ours but
// for the protocol, ENI routes with protocol boot.
func TestSyncBesideOthers(t *testing.T) {
	h, d := nodeWith3(t)
	eth0, eth1 := linkNamed(t, "eth0"), linkNamed(t, "eth1")
	must(t, netlink.LinkSetUp(eth1))
	toPod := ruleOf(512, "", vpcnet.TableMain, 0)
	toPod.Dst = toIPNet(prefixOf("10.20.11.77/32"))
	toOurs := ruleOf(512, "", vpcnet.TableMain, 0)
	toOurs.Dst = toIPNet(prefixOf("10.20.11.40/32"))
	for _, r := range []*netlink.Rule{
		ruleOf(32764, "10.20.11.40/31", 77, 3), toPod, toOurs,
		ruleOf(1536, "10.20.11.77/32", 2, 0), ruleOf(1536, "10.20.11.40/32", 3, 0), ruleOf(32765, "10.20.11.5/32", 2, 0),
	} {
		must(t, netlink.RuleAdd(r))
	}
	must(t, netlink.RouteAdd(&netlink.Route{Table: 77, LinkIndex: eth0.Attrs().Index, Dst: toIPNet(prefixOf("10.9.0.0/16")), Scope: netlink.SCOPE_LINK, Protocol: 3}))
	must(t, netlink.RouteAdd(&netlink.Route{Table: 2, LinkIndex: eth1.Attrs().Index, Dst: toIPNet(prefixOf("10.20.11.1/32")), Scope: netlink.SCOPE_LINK}))
	must(t, netlink.RouteAdd(&netlink.Route{Table: 2, LinkIndex: eth1.Attrs().Index, Dst: toIPNet(prefixOf("0.0.0.0/0")), Gw: addrOf("10.20.11.1").AsSlice()}))
	// A route of another program in an ENI's table, and one in table 101 with our protocol (a branch's).
	must(t, netlink.RouteAdd(&netlink.Route{Table: 2, LinkIndex: eth1.Attrs().Index, Dst: toIPNet(prefixOf("198.51.100.0/24")), Scope: netlink.SCOPE_LINK, Protocol: 3}))
	must(t, netlink.RouteAdd(&netlink.Route{Table: 101, LinkIndex: eth1.Attrs().Index, Dst: toIPNet(prefixOf("10.20.11.1/32")), Scope: netlink.SCOPE_LINK, Protocol: vpcnet.RouteProtocol}))
	syncOK(t, h, d)
	want := strings.Replace(goldenNode, "rule 512 from <nil> to <nil> lookup 5120 proto 86\n",
		"rule 512 from <nil> to 10.20.11.77/32 lookup 254 proto 0\nrule 512 from <nil> to <nil> lookup 5120 proto 86\n", 1)
	want = strings.Replace(want, "rule 1536 from 100", "rule 1536 from 10.20.11.77/32 to <nil> lookup 2 proto 0\nrule 1536 from 100", 1)
	want = strings.Replace(want, "rule 32765", "rule 32764 from 10.20.11.40/31 to <nil> lookup 77 proto 3\nrule 32765", 1)
	want = strings.Replace(want, "route table 10101 0", "route table 101 10.20.11.1/32 via <nil> dev eth1 src <nil> scope 253 proto 86\nroute table 10101 0", 1)
	want = strings.Replace(want, "route table 254 0", "route table 2 198.51.100.0/24 via <nil> dev eth1 src <nil> scope 253 proto 3\nroute table 254 0", 1)
	want = strings.Replace(want, "sysctl", "route table 77 10.9.0.0/16 via <nil> dev eth0 src <nil> scope 253 proto 3\nsysctl", 1)
	compareGolden(t, want)
	if obs := syncOK(t, h, d); len(obs.Repaired) != 0 {
		t.Errorf("second Sync repaired %q", obs.Repaired)
	}
}

// TestTwoDaemonsAtOnce: an old and a new daemon overlap in an upgrade. Both start
// from the same damage; neither fails and the node comes out as wanted.
func TestTwoDaemonsAtOnce(t *testing.T) {
	h, d := nodeWith3(t)
	other, err := New(Options{})
	must(t, err)
	t.Cleanup(other.Close)
	for range 20 {
		var wg sync.WaitGroup
		for _, daemon := range []*Host{h, other} {
			wg.Go(func() {
				if _, err := daemon.Sync(t.Context(), d); err != nil {
					t.Errorf("Sync: %v", err)
				}
			})
		}
		wg.Wait()
		compareGolden(t, goldenNode)
		without := d
		without.ENIs, without.From = d.ENIs[:1], nil
		syncOK(t, h, without)
		for _, name := range []string{"eth1", "eth2"} {
			must(t, netlink.LinkSetDown(linkNamed(t, name)))
		}
	}
}

func TestSync300Sources(t *testing.T) {
	h, d := nodeWith3(t)
	d.From = nil
	for i := range 300 {
		d.From = append(d.From, From{vpcnet.Host(netip.AddrFrom4([4]byte{10, 20, byte(16 + i>>8), byte(i)})), 2})
	}
	syncOK(t, h, d)
	got := slices.DeleteFunc(keep(readBack(t), "rule"), func(l string) bool { return !strings.HasPrefix(l, "rule 1536 ") })
	want := []string{
		"rule 1536 from 10.20.16.0/24 to <nil> lookup 2 proto 86", "rule 1536 from 10.20.17.0/27 to <nil> lookup 2 proto 86",
		"rule 1536 from 10.20.17.32/29 to <nil> lookup 2 proto 86", "rule 1536 from 10.20.17.40/30 to <nil> lookup 2 proto 86",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
}

func TestAttachments(t *testing.T) {
	h, d := nodeWith3(t)
	syncOK(t, h, d)
	addPodVeth(t, "eni0456", "vpc/c2/net1")
	addPodVeth(t, "calif00", "calico says hello")
	got, err := h.Attachments(t.Context())
	must(t, err)
	want := []Found{
		{Attachment: vpcnet.Attachment{Network: "vpc", ContainerID: "c1", IfName: "eth0"}, HostVeth: "eni0123", Addr: addrOf("10.20.11.40")},
		{Attachment: vpcnet.Attachment{Network: "vpc", ContainerID: "c2", IfName: "net1"}, HostVeth: "eni0456"},
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("attachments (-want +got):\n%s", diff)
	}
}
