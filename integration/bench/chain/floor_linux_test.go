package chain

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/vpcchain/vpcchain/integration/performance"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// The floor leaves out what is not the kernel's, and nothing of what is: a pod
// has after it what it has after vpc-veth.
func TestFloor(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("VPCCHAIN_REQUIRE") != "" {
			t.Fatal("not root")
		}
		t.Skip("needs root to make network namespaces")
	}
	runtime.LockOSThread() // never unlocked: the thread ends with the test
	podNS, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = podNS.Close() }()
	if _, err = netns.New(); err != nil { // the node, where the thread stays
		t.Fatal(err)
	}
	c := clock{took: map[key]performance.Samples{}}
	f := newFloor(newTimed(&c, floorName), "/nowhere", 0)
	p := &libcni.RuntimeConf{ContainerID: "c1", NetNS: fmt.Sprintf("/proc/self/fd/%d", podNS), IfName: "eth0"}
	for range 2 { // a second pod in the same namespace finds nothing of the first
		if err := f.add(context.Background(), p); err != nil {
			t.Fatal(err)
		}
		wired(t, podNS)
		if err := f.del(context.Background(), p); err != nil {
			t.Fatal(err)
		}
		links, err := netlinksafe.LinkList()
		if err != nil || len(links) != 1 {
			t.Fatalf("links after DEL: %v, %v", links, err)
		}
	}
	for _, verb := range []string{"ADD", "DEL"} {
		if n := len(c.took[key{floorName, verb, "netlink", 0}]); n != 2 {
			t.Errorf("%d times of the requests of %s", n, verb)
		}
	}
}

// wired compares both ends with what an ADD is to leave.
func wired(t *testing.T, podNS netns.NsHandle) {
	t.Helper()
	pod, err := netlinksafe.NewHandleAt(podNS, unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer pod.Close()
	inside, err := pod.LinkByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	name := vpcnet.HostVethName(vpcnet.VethPrefix, "floor", "c1", "c1", "eth0")
	outside, err := netlinksafe.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	a := outside.Attrs()
	if a.Alias != "floor/c1/eth0" || a.Flags&net.FlagUp == 0 || a.MTU != vpcnet.ENIMTU || inside.Attrs().MTU != vpcnet.ENIMTU || inside.Attrs().Flags&net.FlagUp == 0 {
		t.Errorf("host's end %+v, pod's end %+v", a, inside.Attrs())
	}
	addrs, err := pod.AddrList(inside, netlink.FAMILY_V4)
	if err != nil || len(addrs) != 1 || !strings.HasPrefix(addrs[0].IPNet.String(), "10.97.0.") {
		t.Fatalf("addresses %v, %v", addrs, err)
	}
	neighs, err := pod.NeighList(inside.Attrs().Index, netlink.FAMILY_V4)
	if err != nil || len(neighs) != 1 || neighs[0].HardwareAddr.String() != a.HardwareAddr.String() {
		t.Errorf("neighbours %v, %v", neighs, err)
	}
	if routes, err := pod.RouteList(inside, netlink.FAMILY_V4); err != nil || len(routes) != 2 {
		t.Errorf("the pod's routes %v, %v", routes, err)
	}
	routes, err := netlinksafe.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Table: vpcnet.TablePods}, netlink.RT_FILTER_TABLE)
	if err != nil || len(routes) != 1 || routes[0].LinkIndex != a.Index || routes[0].Dst.String() != addrs[0].IPNet.String() {
		t.Errorf("the node's routes %v, %v", routes, err)
	}
	rules, err := netlinksafe.RuleListFiltered(netlink.FAMILY_V4, &netlink.Rule{Priority: vpcnet.RulePods}, netlink.RT_FILTER_PRIORITY)
	if err != nil || len(rules) != 1 || rules[0].Table != vpcnet.TablePods {
		t.Errorf("rules %v, %v", rules, err)
	}
}

// Verdicts and ratios of a report, by times that are known.
func TestReport(t *testing.T) {
	b := &bench{ours: "vpc-ipam, vpc-veth", clock: clock{took: map[key]performance.Samples{}}}
	for k, ms := range map[key]int{
		{floorName, "ADD", "", 1}: 10, {b.ours, "ADD", "", 1}: 14, {upstreamName, "ADD", "", 1}: 20,
		{floorName, "ADD", "", 8}: 10, {b.ours, "ADD", "", 8}: 40, {upstreamName, "ADD", "", 8}: 20,
		{floorName, "ADD", "empty", 1}: 2, {b.ours, "ADD", "vpc-veth", 1}: 6, {b.ours, "ADD", "vpc-ipam", 1}: 5,
	} {
		for range 3 {
			b.add(k, time.Duration(ms)*time.Millisecond)
		}
	}
	got := b.report([]variant{{name: floorName}, {name: b.ours}, {name: upstreamName}}, []int{1, 8})
	rest := got
	for _, line := range []string{
		"| 1 | 1.40 | yes | 0.70 | yes |\n", "| 8 | 4.00 | no | 2.00 | no |\n", "### One pod at a time", "| ADD: floor | 3 | 10.0 | 10.0 | – | 1.00 | 0.50 |\n",
		"| ADD: vpc-ipam, vpc-veth | 3 | 14.0 | 14.0 | – | 1.40 | 0.70 |\n", "### 8 pods at once", "| ADD | floor | empty | 2.0 |",
		"| ADD | vpc-ipam, vpc-veth | vpc-ipam | 5.0 (+3.0) |", "| ADD | vpc-ipam, vpc-veth | vpc-veth | 6.0 (+4.0) |",
	} {
		_, after, found := strings.Cut(rest, line)
		if !found {
			t.Fatalf("%q is not where it is to be in\n%s", line, got)
		}
		rest = after
	}
}
