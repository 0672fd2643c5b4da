package conformance

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"

	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// What a pod sends as soon as ADD has returned is sent: the kernel drops what goes
// into a link before it has noticed its carrier, which takes a while on a node
// where many pods start.
func TestFirstPacketIsSent(t *testing.T) {
	h := newHost(t)
	var pods sync.WaitGroup
	for i := range 8 {
		pod := newNetns(t)
		pods.Go(func() {
			for j := range 12 {
				a := add("1.1.0", fmt.Sprintf("c%d-%d", i, j), pod, fromIPAM(t, fmt.Sprintf("10.20.11.%d/32", 20+i)))
				out, err := h.run(a)
				if err != nil {
					t.Errorf("ADD: %v: %s", err, out)
					return
				}
				if dropped, err := sendOne("/run/netns/" + pod); err != nil || dropped > 0 {
					t.Errorf("ADD %d of pod %d: %d packets dropped, %v", j, i, dropped, err)
				}
				if out, err := h.run(a.as("DEL", nil)); err != nil {
					t.Errorf("DEL: %v: %s", err, out)
				}
			}
		})
	}
	pods.Wait()
}

// sendOne sends a packet from the namespace and returns how many its eth0 has dropped.
func sendOne(path string) (dropped uint64, err error) {
	pod, err := ns.GetNS(path)
	if err != nil {
		return 0, err
	}
	defer func() { _ = pod.Close() }()
	err = pod.Do(func(ns.NetNS) error {
		s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer func() { _ = unix.Close(s) }()
		to := netip.MustParseAddr("192.0.2.1")
		if err := unix.Sendto(s, []byte("first"), 0, &unix.SockaddrInet4{Port: 9, Addr: to.As4()}); err != nil {
			return err
		}
		l, err := netlink.LinkByName("eth0")
		if err == nil {
			dropped = l.Attrs().Statistics.TxDropped
		}
		return err
	})
	return dropped, err
}
