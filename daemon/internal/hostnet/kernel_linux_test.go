package hostnet

import (
	"bytes"
	gocmp "cmp"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// newNamespace moves the test's goroutine into a network namespace of its own.
// The thread is never unlocked: it ends with the test, and the namespace with it.
func newNamespace(tb testing.TB) netns.NsHandle {
	tb.Helper()
	if os.Getuid() != 0 {
		const reason = "making network namespaces needs root"
		if strings.Contains(os.Getenv("VPCCHAIN_REQUIRE"), "root") {
			tb.Fatal(reason)
		}
		tb.Skip(reason)
	}
	runtime.LockOSThread()
	ns, err := netns.New()
	if err != nil {
		tb.Fatalf("making a network namespace: %v", err)
	}
	tb.Cleanup(func() { _ = ns.Close() })
	must(tb, netlink.LinkSetUp(linkNamed(tb, "lo")))
	return ns
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func linkNamed(tb testing.TB, name string) netlink.Link {
	tb.Helper()
	l, err := netlinksafe.LinkByName(name)
	if err != nil {
		tb.Fatalf("finding link %s: %v", name, err)
	}
	return l
}

// addENI makes a veth whose one end stands for an ENI.
func addENI(tb testing.TB, name, mac string) {
	tb.Helper()
	hw, err := net.ParseMAC(mac)
	must(tb, err)
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.HardwareAddr, attrs.MTU = name, hw, 1500
	must(tb, netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "vpc-" + name}))
	must(tb, netlink.LinkSetMTU(linkNamed(tb, "vpc-"+name), 9001))
	must(tb, netlink.LinkSetUp(linkNamed(tb, "vpc-"+name)))
}

const (
	mac0 = "02:00:00:00:00:10"
	mac1 = "02:00:00:00:00:11"
	mac2 = "02:00:00:00:00:12"
)

// nodeWith3 is a namespace as a booted instance leaves it, with a host veth of
// one pod, and the state that the daemon wants there.
func nodeWith3(tb testing.TB) (*Host, Desired) {
	tb.Helper()
	newNamespace(tb)
	addENI(tb, "eth0", mac0)
	addENI(tb, "eth1", mac1)
	addENI(tb, "eth2", mac2)
	eth0 := linkNamed(tb, "eth0")
	must(tb, netlink.AddrAdd(eth0, &netlink.Addr{IPNet: toIPNet(prefixOf("10.20.11.162/24"))}))
	must(tb, netlink.LinkSetUp(eth0))
	must(tb, netlink.RouteAdd(&netlink.Route{LinkIndex: eth0.Attrs().Index, Dst: toIPNet(prefixOf("0.0.0.0/0")), Gw: net.IPv4(10, 20, 11, 1)}))
	addPodVeth(tb, "eni0123", "vpc/c1/eth0")
	h, err := New(Options{StateDir: tb.TempDir()})
	must(tb, err)
	tb.Cleanup(h.Close)
	return h, Desired{
		Primary: addrOf("10.20.11.162"), PrimaryMAC: mac0, MTU: 9001,
		ENIs: []ENI{
			{ID: "eni-0", MAC: mac0, Primary: addrOf("10.20.11.162"), Subnet: prefixOf("10.20.11.0/24")},
			{ID: "eni-1", MAC: mac1, Device: 1, Primary: addrOf("10.20.11.5"), Subnet: prefixOf("10.20.11.0/24")},
			{ID: "eni-2", MAC: mac2, Card: 1, Device: 1, Primary: addrOf("100.64.32.7"), Subnet: prefixOf("100.64.32.0/19")},
		},
		From:     []From{{prefixOf("10.20.11.40/32"), 2}, {prefixOf("10.20.11.41/32"), 2}, {prefixOf("100.64.33.16/28"), 10101}},
		External: []netip.Prefix{prefixOf("192.0.2.0/24")},
		Pods:     []Pod{{addrOf("10.20.11.40"), "eni0123"}, {addrOf("10.20.11.41"), "eniabsent"}},
	}
}

func addPodVeth(tb testing.TB, name, alias string) {
	tb.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	must(tb, netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "pod-" + name}))
	l := linkNamed(tb, name)
	must(tb, netlink.LinkSetAlias(l, alias))
	must(tb, netlink.LinkSetUp(l))
}

func syncOK(tb testing.TB, h *Host, d Desired) Observed {
	tb.Helper()
	obs, err := h.Sync(tb.Context(), d)
	if err != nil {
		tb.Fatalf("Sync: %v", err)
	}
	return obs
}

// readBack is the kernel's state as text, written without the package's own
// conversions. IPv4, all tables but local.
func readBack(tb testing.TB) string {
	tb.Helper()
	var b strings.Builder
	links, err := netlinksafe.LinkList()
	must(tb, err)
	names := map[int]string{}
	for _, l := range links {
		a := l.Attrs()
		names[a.Index] = a.Name
		if !strings.HasPrefix(a.Name, "eth") {
			continue
		}
		fmt.Fprintf(&b, "link %s mtu %d %s\n", a.Name, a.MTU, strings.Join(upWord(a.Flags), ""))
		addrs, err := netlinksafe.AddrList(l, netlink.FAMILY_V4)
		must(tb, err)
		for _, ad := range addrs {
			fmt.Fprintf(&b, "addr %s dev %s flags %#x\n", ad.IPNet, a.Name, ad.Flags&^unix.IFA_F_PERMANENT)
		}
	}
	rules, err := netlinksafe.RuleList(netlink.FAMILY_V4)
	must(tb, err)
	// Within a priority the order is that of adding; none of these overlap.
	slices.SortStableFunc(rules, func(a, b netlink.Rule) int {
		return gocmp.Or(a.Priority-b.Priority, strings.Compare(fmt.Sprint(a.Src, a.Dst), fmt.Sprint(b.Src, b.Dst)))
	})
	for _, r := range rules {
		fmt.Fprintf(&b, "rule %d from %v to %v lookup %d proto %d\n", r.Priority, r.Src, r.Dst, r.Table, r.Protocol)
	}
	routes, err := netlinksafe.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{}, netlink.RT_FILTER_TABLE)
	must(tb, err)
	var lines []string
	for _, r := range routes {
		if r.Table != unix.RT_TABLE_LOCAL {
			lines = append(lines, fmt.Sprintf("route table %d %v via %v dev %s src %v scope %d proto %d\n", r.Table, r.Dst, r.Gw, names[r.LinkIndex], r.Src, r.Scope, int(r.Protocol)))
		}
	}
	slices.Sort(lines)
	b.WriteString(strings.Join(lines, ""))
	for _, p := range []string{ipForward, rpFilter("eth0")} {
		fmt.Fprintf(&b, "sysctl %s %s\n", p, readSysctl(tb, p))
	}
	return b.String()
}

func readSysctl(tb testing.TB, path string) string {
	tb.Helper()
	raw, err := os.ReadFile("/proc/sys/" + path) //nolint:gosec // a path of the test
	must(tb, err)
	return string(bytes.TrimSpace(raw))
}

func upWord(f net.Flags) []string {
	if f&net.FlagUp != 0 {
		return []string{"up"}
	}
	return []string{"down"}
}

const goldenNode = `link eth0 mtu 9001 up
addr 10.20.11.162/24 dev eth0 flags 0x0
link eth1 mtu 9001 up
addr 10.20.11.5/24 dev eth1 flags 0x200
link eth2 mtu 9001 up
addr 100.64.32.7/19 dev eth2 flags 0x200
rule 0 from <nil> to <nil> lookup 255 proto 2
rule 512 from <nil> to <nil> lookup 5120 proto 86
rule 1535 from <nil> to 192.0.2.0/24 lookup 254 proto 86
rule 1536 from 10.20.11.40/31 to <nil> lookup 2 proto 86
rule 1536 from 100.64.33.16/28 to <nil> lookup 10101 proto 86
rule 32765 from 10.20.11.5/32 to <nil> lookup 2 proto 86
rule 32765 from 100.64.32.7/32 to <nil> lookup 10101 proto 86
rule 32766 from <nil> to <nil> lookup 254 proto 2
rule 32767 from <nil> to <nil> lookup 253 proto 2
route table 10101 0.0.0.0/0 via 100.64.32.1 dev eth2 src <nil> scope 0 proto 86
route table 10101 100.64.32.1/32 via <nil> dev eth2 src <nil> scope 253 proto 86
route table 2 0.0.0.0/0 via 10.20.11.1 dev eth1 src <nil> scope 0 proto 86
route table 2 10.20.11.1/32 via <nil> dev eth1 src <nil> scope 253 proto 86
route table 254 0.0.0.0/0 via 10.20.11.1 dev eth0 src <nil> scope 0 proto 3
route table 254 10.20.11.0/24 via <nil> dev eth0 src 10.20.11.162 scope 253 proto 2
route table 5120 10.20.11.40/32 via <nil> dev eni0123 src 10.20.11.162 scope 253 proto 86
sysctl net/ipv4/ip_forward 1
sysctl net/ipv4/conf/eth0/rp_filter 2
`

func compareGolden(tb testing.TB, want string) {
	tb.Helper()
	if d := cmp.Diff(want, readBack(tb)); d != "" {
		tb.Errorf("kernel (-want +got):\n%s", d)
	}
}

// monitor counts the kernel's messages since it was made.
type monitor struct{ file *os.File }

func newMonitor(tb testing.TB) monitor {
	tb.Helper()
	f, err := subscribe()
	must(tb, err)
	tb.Cleanup(func() { _ = f.Close() })
	return monitor{f}
}

// count reads what is queued. The kernel queues a message before the call that
// causes it returns, so there is nothing to wait for. News of links is left out:
// the kernel tells in the background, at any time, what became of one that was
// brought up. What Sync does to links it says in Repaired.
func (m monitor) count(tb testing.TB) int {
	tb.Helper()
	n := 0
	rc, err := m.file.SyscallConn()
	must(tb, err)
	buf := make([]byte, 1<<16)
	must(tb, rc.Read(func(fd uintptr) bool {
		for {
			if _, _, err := unix.Recvfrom(int(fd), buf, unix.MSG_DONTWAIT); err != nil {
				return true
			}
			if binary.NativeEndian.Uint16(buf[4:]) != unix.RTM_NEWLINK {
				n++
			}
		}
	}))
	return n
}

// eventually polls until ok or the deadline.
func eventually(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), 5*time.Second)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			tb.Fatalf("not within 5 s: %s", what)
		case <-tick.C:
		}
	}
}

func ruleOf(priority int, src string, table int, protocol uint8) *netlink.Rule {
	r := netlink.NewRule()
	r.Priority, r.Table, r.Protocol = priority, table, protocol
	if src != "" {
		r.Src = toIPNet(prefixOf(src))
	}
	return r
}
