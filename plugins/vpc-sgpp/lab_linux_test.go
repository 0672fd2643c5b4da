package main

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

const (
	trunkMAC = "02:00:00:00:06:01"
	nodeIP   = "10.20.11.162"
	router   = "10.20.11.1"
	branchGW = "10.20.64.1"
	vpcHost  = "10.20.99.9"   // in the VPC, behind the router
	internet = "198.51.100.9" // outside of it
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// space is a network namespace of the test's own.
type space struct {
	t  testing.TB
	fd netns.NsHandle
	nl *netlink.Handle
}

func newSpace(t testing.TB) *space {
	t.Helper()
	var s *space
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends here
		var fd netns.NsHandle
		if fd, err = netns.New(); err == nil {
			var h *netlink.Handle
			if h, err = netlink.NewHandle(unix.NETLINK_ROUTE); err == nil {
				s = &space{t: t, fd: fd, nl: h}
			}
		}
	}()
	<-done
	must(t, err)
	t.Cleanup(func() { s.nl.Close(); _ = s.fd.Close() })
	lo, err := s.nl.LinkByName("lo")
	must(t, err)
	must(t, s.nl.LinkSetUp(lo))
	return s
}

// do runs f on a thread in the namespace.
func (s *space) do(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := netns.Set(s.fd)
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}

func (s *space) path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), int(s.fd)) }

func (s *space) link(name string) netlink.Link {
	s.t.Helper()
	l, err := s.nl.LinkByName(name)
	if err != nil {
		s.t.Fatalf("link %s: %v", name, err)
	}
	return l
}

func (s *space) addr(dev, cidr string) {
	s.t.Helper()
	a, err := netlink.ParseAddr(cidr)
	must(s.t, err)
	must(s.t, s.nl.AddrAdd(s.link(dev), a))
}

func (s *space) up(dev string) { s.t.Helper(); must(s.t, s.nl.LinkSetUp(s.link(dev))) }

func (s *space) route(dst, via, dev string) {
	s.t.Helper()
	r := &netlink.Route{LinkIndex: s.link(dev).Attrs().Index, Dst: ipNet(dst), Gw: net.ParseIP(via)}
	if via == "" {
		r.Scope = netlink.SCOPE_LINK
	}
	must(s.t, s.nl.RouteReplace(r))
}

func (s *space) sysctl(path, value string) {
	s.t.Helper()
	must(s.t, s.do(func() error { return os.WriteFile("/proc/sys/net/"+path, []byte(value), 0o600) }))
}

func (s *space) sysctlIs(path string) string {
	s.t.Helper()
	var raw []byte
	must(s.t, s.do(func() (err error) { raw, err = os.ReadFile("/proc/sys/net/" + path); return err })) //nolint:gosec // the test's own words
	return strings.TrimSpace(string(raw))
}

func ipNet(cidr string) *net.IPNet {
	p := netip.MustParsePrefix(cidr)
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), 32)}
}

func veth(t testing.TB, a, b *space, name, peer, mac string, mtu int) {
	t.Helper()
	v := netlink.NewVeth(netlink.NewLinkAttrs())
	v.Name, v.MTU, v.PeerName, v.PeerMTU, v.PeerNamespace = name, mtu, peer, uint32(mtu), netlink.NsFd(int(b.fd)) //nolint:gosec // an MTU
	if mac != "" {
		hw, err := net.ParseMAC(mac)
		must(t, err)
		v.HardwareAddr = hw
	}
	must(t, a.nl.LinkAdd(v))
	a.up(name)
	b.up(peer)
}
