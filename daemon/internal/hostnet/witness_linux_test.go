package hostnet

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// namedNetns makes a network namespace with a file, as a runtime does, that has
// the address on a link of its own.
func namedNetns(t *testing.T, path, address string) {
	t.Helper()
	here, err := netns.Get()
	must(t, err)
	defer func() { _ = here.Close() }()
	there, err := netns.New() // and enters it: the test's thread is locked
	must(t, err)
	must(t, os.WriteFile(path, nil, 0o600))
	must(t, unix.Mount(fmt.Sprintf("/proc/self/fd/%d", there), path, "", unix.MS_BIND, ""))
	t.Cleanup(func() { _ = unix.Unmount(path, unix.MNT_DETACH) })
	_ = there.Close()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "eth0"
	must(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "peer"}))
	must(t, netlink.AddrAdd(linkNamed(t, "eth0"), &netlink.Addr{IPNet: toIPNet(prefixOf(address + "/32"))}))
	must(t, netns.Set(here))
}

// Every kind of pod leaves a trace, and what is none of a pod is left out.
func TestWitnesses(t *testing.T) {
	h, d := nodeWith3(t)
	addPodVeth(t, "eni0456", "")
	addPodVeth(t, "eni0789", "vpc/c3/eth0")
	addPodVeth(t, "docker1", "a comment of somebody")
	syncOK(t, h, d) // the route of eni0123, and rules 1536
	stock := linkNamed(t, "eni0456").Attrs().Index
	for _, table := range []int{vpcnet.TableMain, vpcnet.TablePods} {
		must(t, netlink.RouteAdd(&netlink.Route{LinkIndex: stock, Dst: toIPNet(prefixOf("10.20.11.50/32")), Table: table, Scope: netlink.SCOPE_LINK}))
	}
	dir := t.TempDir()
	namedNetns(t, filepath.Join(dir, "p1"), "10.20.11.60")
	must(t, os.WriteFile(filepath.Join(dir, "dead"), nil, 0o600))

	list, err := h.Witnesses(t.Context(), dir, filepath.Join(dir, "absent"))
	must(t, err)
	var got []string
	for _, w := range list {
		if w.Rule && w.Addr.Is4() && vpcnet.Host(w.Addr).Addr().As4()[0] == 100 {
			continue // the sixteen of a /28
		}
		if w.Netns != "" {
			w.Netns = filepath.Base(w.Netns)
		}
		got = append(got, fmt.Sprintf("%s link=%s of=%s netns=%s rule=%t", w.Addr, w.Link, w.Attachment, w.Netns, w.Rule))
	}
	got = slices.DeleteFunc(got, func(s string) bool {
		return strings.Contains(s, "link=eth") || strings.Contains(s, "link=vpc-") || strings.Contains(s, "link=pod-")
	})
	slices.Sort(got)
	want := []string{
		"10.20.11.40 link= of=// netns= rule=true",
		"10.20.11.40 link=eni0123 of=vpc/c1/eth0 netns= rule=false",
		"10.20.11.41 link= of=// netns= rule=true",
		"10.20.11.50 link=eni0456 of=// netns= rule=false",
		"10.20.11.60 link= of=// netns=p1 rule=false",
		"invalid IP link=docker1 of=// netns= rule=false",
		"invalid IP link=eni0789 of=vpc/c3/eth0 netns= rule=false",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("witnesses (-want +got):\n%s", d)
	}
	if n := len(list); n < len(want)+16 {
		t.Errorf("%d witnesses: the addresses of the rule for a /28 are missing", n)
	}
}

// A veth of the stock CNI gets an alias once, and a link that has one keeps it.
func TestSetAlias(t *testing.T) {
	h, _ := nodeWith3(t)
	addPodVeth(t, "eni0456", "")
	a := vpcnet.Attachment{Network: "aws-cni", ContainerID: "c", IfName: "eth0"}
	must(t, h.SetAlias("eni0456", a))
	if got := linkNamed(t, "eni0456").Attrs().Alias; got != a.Alias() {
		t.Errorf("the alias is %q", got)
	}
	if err := h.SetAlias("eni0456", a); err == nil {
		t.Error("an alias is overwritten")
	}
	if err := h.SetAlias("absent", a); err == nil {
		t.Error("no link, and no error")
	}
}
