// Package path measures what a node adds to the way of a packet: packets a
// second, round trips and TCP streams through a node of a simulation, with the
// rules and routes that the product made, with those that the stock CNI makes
// for the same pods, and through as many plain routers.
package path

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Space is a network namespace.
type Space struct{ ns netns.NsHandle }

// Open opens the namespace that is bound to a path.
func Open(path string) (Space, error) {
	ns, err := netns.GetFromPath(path)
	if err != nil {
		return Space{}, fmt.Errorf("opening network namespace %s: %w", path, err)
	}
	return Space{ns}, nil
}

// Of opens the namespace of a process.
func Of(pid int) (Space, error) { return Open(fmt.Sprintf("/proc/%d/ns/net", pid)) }

// newSpace makes a namespace, which is gone when nothing is in it and it is closed.
func newSpace() (s Space, err error) {
	err = onThread(func() error {
		s.ns, err = netns.New()
		return err
	})
	return s, err
}

// Close lets go of the namespace.
func (s Space) Close() { _ = s.ns.Close() }

// in runs f on a thread in the namespace.
func (s Space) in(f func() error) error {
	return onThread(func() error {
		if err := netns.Set(s.ns); err != nil {
			return fmt.Errorf("entering a network namespace: %w", err)
		}
		return f()
	})
}

// onThread runs f on a thread that ends with it.
func onThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked
		done <- f()
	}()
	return <-done
}

// links is netlink in the namespace.
func (s Space) links() (*netlink.Handle, error) { return netlink.NewHandleAt(s.ns, unix.NETLINK_ROUTE) }

// received is how many packets a link has taken in.
func (s Space) received(link string) (n uint64, err error) {
	h, err := s.links()
	if err != nil {
		return 0, err
	}
	defer h.Close()
	l, err := h.LinkByName(link)
	if err != nil {
		return 0, fmt.Errorf("finding link %s: %w", link, err)
	}
	return l.Attrs().Statistics.RxPackets, nil
}

// socket opens a socket in the namespace, connected to a destination.
func (s Space) socket(kind, protocol int, to netip.AddrPort) (fd int, err error) {
	err = s.in(func() error {
		if fd, err = unix.Socket(unix.AF_INET, kind|unix.SOCK_CLOEXEC, protocol); err != nil {
			return fmt.Errorf("opening a socket: %w", err)
		}
		wait := unix.NsecToTimeval(int64(time.Second))
		err := errors.Join(unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait), unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &wait),
			unix.Connect(fd, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}))
		if err != nil {
			_ = unix.Close(fd)
			return fmt.Errorf("connecting to %s: %w", to, err)
		}
		return nil
	})
	return fd, err
}

// sink opens a UDP port that nobody reads: what does not fit its buffer is
// dropped there, which costs the sender the same whatever the way was.
func (s Space) sink(at netip.AddrPort) (c *net.UDPConn, err error) {
	err = s.in(func() error {
		c, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(at))
		return err
	})
	return c, err
}
