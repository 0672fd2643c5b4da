package hostnet

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// What a pod has lost in its own namespace is found and named; a whole one, one of
// another chain and one whose namespace has no file are no difference.
func TestCheckInside(t *testing.T) {
	const mac = "02:00:00:00:00:77"
	home := newNamespace(t)
	ns, lone := namespaceBeside(t, home), namespaceBeside(t, home)
	dir := t.TempDir()
	path := filepath.Join(dir, "pod")
	must(t, os.WriteFile(path, nil, 0o600))
	must(t, unix.Mount(fmt.Sprintf("/proc/self/fd/%d", ns), path, "", unix.MS_BIND, ""))
	t.Cleanup(func() { _ = unix.Unmount(path, unix.MNT_DETACH) })
	connect(t, "enia1", mac, ns, "eth0")
	connect(t, "enib2", "02:00:00:00:00:78", lone, "eth0")
	must(t, netlink.LinkSetAlias(linkNamed(t, "enia1"), "vpc/c1/eth0"))
	must(t, netlink.LinkSetAlias(linkNamed(t, "enib2"), "vpc/c2/eth0"))
	addr := netip.MustParseAddr("10.0.0.4")
	whole := func() {
		l := linkNamed(t, "eth0")
		must(t, netlink.LinkSetUp(l))
		must(t, netlink.AddrReplace(l, &netlink.Addr{IPNet: toIPNet(vpcnet.Host(addr))}))
		must(t, netlink.RouteReplace(&netlink.Route{LinkIndex: l.Attrs().Index, Dst: toIPNet(vpcnet.Host(vpcnet.PodGateway())), Scope: netlink.SCOPE_LINK}))
		must(t, netlink.RouteReplace(&netlink.Route{LinkIndex: l.Attrs().Index, Gw: vpcnet.PodGateway().AsSlice()}))
		permanent(t, "eth0", vpcnet.PodGateway(), mac)
	}
	must(t, netlink.LinkSetUp(linkNamed(t, "enia1")))
	inside(t, ns, whole)
	h, err := New(Options{})
	must(t, err)
	t.Cleanup(h.Close)
	pods := []Pod{{Addr: addr, HostVeth: "enia1"}, {Addr: addr.Next(), HostVeth: "enib2"}, {Addr: addr.Next(), HostVeth: "gone"}, {Addr: addr.Next()}}
	check := func(pods ...Pod) (string, string) {
		t.Helper()
		found, notes, err := h.CheckInside(pods, dir, filepath.Join(dir, "none"))
		must(t, err)
		var texts []string
		for _, f := range found {
			if f.Object != "pod 10.0.0.4" || f.Repair {
				t.Errorf("%+v", f)
			}
			texts = append(texts, f.Text)
		}
		return strings.Join(texts, "; "), strings.Join(notes, "; ")
	}
	if texts, notes := check(pods...); texts != "" || !strings.Contains(notes, "of 1 pods have no file") {
		t.Errorf("a whole pod: %q, notes %q", texts, notes)
	}
	for _, tc := range []struct {
		name string
		harm func(l netlink.Link) error
		want string
	}{
		{"address", func(l netlink.Link) error {
			return netlink.AddrDel(l, &netlink.Addr{IPNet: toIPNet(vpcnet.Host(addr))})
		}, "eth0 in it has [], not the pod's address"},
		{"default route", func(l netlink.Link) error {
			return netlink.RouteDel(&netlink.Route{LinkIndex: l.Attrs().Index, Gw: vpcnet.PodGateway().AsSlice()})
		}, "it has no default route"},
		{"neighbour", func(l netlink.Link) error {
			return netlink.NeighDel(&netlink.Neigh{LinkIndex: l.Attrs().Index, IP: vpcnet.PodGateway().AsSlice()})
		}, "ip neigh replace 169.254.1.1 lladdr " + mac + " dev eth0 nud permanent"},
		{"down", netlink.LinkSetDown, "the link eth0 in it is down"},
		{"name", func(l netlink.Link) error {
			must(t, netlink.LinkSetDown(l))
			return netlink.LinkSetName(l, "eth9")
		}, "no interface eth0"},
	} {
		inside(t, ns, func() { must(t, tc.harm(linkNamed(t, "eth0"))) })
		if texts, notes := check(pods[0]); !strings.Contains(texts, tc.want) || notes != "" {
			t.Errorf("%s: %q, notes %q", tc.name, texts, notes)
		}
		if tc.name != "name" {
			inside(t, ns, whole)
		}
		if texts, _ := check(pods[0]); tc.name != "name" && texts != "" {
			t.Errorf("%s, mended: %q", tc.name, texts)
		}
	}
}
