package hostnet

import (
	"fmt"
	"net"
	"slices"
	"testing"

	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
)

// What is read of links is what the library reads of them.
func TestListLinks(t *testing.T) {
	newNamespace(t)
	addENI(t, "eth1", mac0)
	must(t, netlink.LinkSetAlias(linkNamed(t, "vpc-eth1"), "vpc/0123456789abcdef/eth0"))
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "docker0"
	must(t, netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}))
	for i := range 300 { // more than one datagram of the kernel
		attrs.Name = fmt.Sprintf("eni%d", i)
		must(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: fmt.Sprintf("pod%d", i)}))
	}
	all, err := netlinksafe.LinkList()
	must(t, err)
	var want []link
	for _, l := range all {
		a := l.Attrs()
		want = append(want, link{Index: a.Index, Name: a.Name, MAC: a.HardwareAddr.String(), Kind: l.Type(), Alias: a.Alias, MTU: a.MTU, Up: a.Flags&net.FlagUp != 0})
	}
	got, err := listLinks()
	must(t, err)
	for _, list := range [][]link{want, got} {
		slices.SortFunc(list, func(a, b link) int { return a.Index - b.Index })
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("links (-library +ours):\n%s", diff)
	}
	if len(got) < 600 {
		t.Errorf("%d links", len(got))
	}
}

// Whatever the kernel says: no panic, and an error only of a message too short.
func FuzzParseLink(f *testing.F) {
	f.Add([]byte{})
	f.Add(slices.Concat(make([]byte, 16), []byte{8, 0, 3, 0, 'l', 'o', 0, 0}, []byte{5, 0, 18, 0, 9, 0, 0, 0}, []byte{255, 255, 1, 0}))
	f.Fuzz(func(t *testing.T, m []byte) {
		l, err := parseLink(m)
		if (err != nil) != (len(m) < 16) {
			t.Errorf("%d bytes: %+v, %v", len(m), l, err)
		}
	})
}
