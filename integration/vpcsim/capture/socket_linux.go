package capture

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// snap is how much of a frame is read, bytes: a jumbo frame of an ENI.
const snap = 9216

// Run reads frames of the link in the calling thread's network namespace and
// hands those that the filter selects to show, until ctx ends or show answers
// false. ready is called once the socket sees packets.
func Run(ctx context.Context, link string, f Filter, ready func(), show func(Packet) bool) error {
	ifc, err := net.InterfaceByName(link)
	if err != nil {
		return fmt.Errorf("finding link %s: %w", link, err)
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("opening a packet socket: %w", err)
	}
	defer func() { _ = unix.Close(fd) }()
	// The tag of a frame arrives beside it, not in it, when the driver has stripped it.
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1); err != nil {
		return fmt.Errorf("asking for VLAN tags: %w", err)
	}
	// A read wakes up now and then to see whether ctx has ended.
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 50_000}); err != nil {
		return fmt.Errorf("setting the read time-out: %w", err)
	}
	all := binary.NativeEndian.Uint16([]byte{0, unix.ETH_P_ALL})
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: ifc.Index}); err != nil {
		return fmt.Errorf("binding to %s: %w", link, err)
	}
	ready()
	return read(ctx, fd, f, show)
}

func read(ctx context.Context, fd int, f Filter, show func(Packet) bool) error {
	frame, oob := make([]byte, snap), make([]byte, 128)
	for ctx.Err() == nil {
		n, oobn, _, _, err := unix.Recvmsg(fd, frame, oob, 0)
		switch {
		case err == nil:
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
			continue
		default:
			return fmt.Errorf("reading packets: %w", err)
		}
		p, err := Decode(frame[:n], time.Now())
		if err != nil {
			continue // not for the list
		}
		if id, ok := tag(oob[:oobn]); ok {
			p.VLAN = id
		}
		if f.Match(p) && !show(p) {
			return nil
		}
	}
	return nil
}

// tag reads the 802.1Q id from a PACKET_AUXDATA control message
// (struct tpacket_auxdata: status at 0, vlan_tci at 16).
func tag(oob []byte) (int, bool) {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return 0, false
	}
	for _, m := range msgs {
		if m.Header.Level == unix.SOL_PACKET && m.Header.Type == unix.PACKET_AUXDATA && len(m.Data) >= 20 {
			if binary.NativeEndian.Uint32(m.Data)&unix.TP_STATUS_VLAN_VALID != 0 {
				return int(binary.NativeEndian.Uint16(m.Data[16:]) & 0x0fff), true
			}
		}
	}
	return 0, false
}
