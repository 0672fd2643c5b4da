package path

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vpcchain/vpcchain/pkg/carrier"
)

// plain is a row of routers with nothing but forwarding: no rules, no packet
// filter, no connection tracking; one route there and one back.
type plain struct {
	mtu    int
	spaces []Space
	ends   [2]end
}

// newPlain makes so many routers in a row with a host at each end, and links of an MTU.
func newPlain(routers, mtu int) (p *plain, err error) {
	p = &plain{mtu: mtu}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	for range routers + 2 {
		s, err := newSpace()
		if err != nil {
			return nil, fmt.Errorf("making a network namespace: %w", err)
		}
		p.spaces = append(p.spaces, s)
	}
	for i := range routers + 1 {
		if err := p.wire(i); err != nil {
			return nil, err
		}
	}
	for i, s := range p.spaces {
		if err := p.route(i, s); err != nil {
			return nil, fmt.Errorf("routing in namespace %d: %w", i, err)
		}
	}
	for i, s := range p.spaces {
		if err := p.await(i, s); err != nil {
			return nil, err
		}
	}
	p.ends = [2]end{{p.spaces[0], "right", segment(0, 1)}, {p.spaces[routers+1], "left", segment(routers, 2)}}
	return p, nil
}

func (p *plain) close() {
	for _, s := range p.spaces {
		s.Close()
	}
}

// segment is an address of the network between spaces i and i+1: host 1 is the left one.
func segment(i, host int) netip.Addr { return netip.AddrFrom4([4]byte{10, 96, byte(i), byte(host)}) }

// wire joins spaces i and i+1.
func (p *plain) wire(i int) error {
	left, err := p.spaces[i].links()
	if err != nil {
		return err
	}
	defer left.Close()
	v := netlink.NewVeth(netlink.NewLinkAttrs())
	v.Name, v.MTU, v.PeerName, v.PeerMTU, v.PeerNamespace = "right", p.mtu, "left", uint32(p.mtu), netlink.NsFd(int(p.spaces[i+1].ns))
	if err := left.LinkAdd(v); err != nil {
		return fmt.Errorf("making a veth pair: %w", err)
	}
	return nil
}

// route gives space i its addresses and the way to both ends.
func (p *plain) route(i int, s Space) error {
	h, err := s.links()
	if err != nil {
		return err
	}
	defer h.Close()
	last := len(p.spaces) - 1
	var errs []error
	if i < last { // to the right, where the last network is
		errs = append(errs, address(h, "right", segment(i, 1)), onward(h, i < last-1, segment(last-1, 0), segment(i, 2)))
	}
	if i > 0 {
		errs = append(errs, address(h, "left", segment(i-1, 2)), onward(h, i > 1, segment(0, 0), segment(i-1, 1)))
	}
	if i > 0 && i < last {
		errs = append(errs, s.in(func() error { return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o600) }))
	}
	return errors.Join(errs...)
}

// await waits until the space's links take packets.
func (p *plain) await(i int, s Space) error {
	h, err := netlinksafe.NewHandleAt(s.ns, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer h.Close()
	if i > 0 {
		err = carrier.Await(h, "left")
	}
	if i < len(p.spaces)-1 {
		err = errors.Join(err, carrier.Await(h, "right"))
	}
	return err
}

func address(h *netlink.Handle, link string, a netip.Addr) error {
	l, err := h.LinkByName(link)
	if err != nil {
		return err
	}
	return errors.Join(h.LinkSetUp(l), h.AddrAdd(l, &netlink.Addr{IPNet: &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(24, 32)}}))
}

// onward adds a route to a network that is not a neighbour.
func onward(h *netlink.Handle, far bool, network, via netip.Addr) error {
	if !far {
		return nil
	}
	return h.RouteAdd(&netlink.Route{Dst: &net.IPNet{IP: network.AsSlice(), Mask: net.CIDRMask(24, 32)}, Gw: via.AsSlice()})
}
