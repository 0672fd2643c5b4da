package path

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vpcchain/vpcchain/integration/performance"
)

// Payload of a frame of 64 octets: 14 Ethernet, 20 IP, 8 UDP.
const payload = 64 - 14 - 20 - 8

// port is the one that sinks listen on.
const port = 9

// end is one end of a way.
type end struct {
	space Space
	link  string
	addr  netip.Addr
}

// flood sends small datagrams of one flow for so long and returns how many a
// second the far end's link took in. A veth pair hands a packet on within the
// call that sends it, so this is one processor's work for the whole way.
func flood(from, to end, d time.Duration) (rate float64, err error) {
	sink, err := to.space.sink(netip.AddrPortFrom(to.addr, port))
	if err != nil {
		return 0, err
	}
	defer func() { _ = sink.Close() }()
	fd, err := from.space.socket(unix.SOCK_DGRAM, 0, netip.AddrPortFrom(to.addr, port))
	if err != nil {
		return 0, err
	}
	defer func() { _ = unix.Close(fd) }()
	return counted(to, func() error {
		buf := make([]byte, payload)
		for end := time.Now().Add(d); time.Now().Before(end); {
			for range 64 {
				if _, err := unix.Write(fd, buf); err != nil && !errors.Is(err, unix.ENOBUFS) {
					return fmt.Errorf("sending to %s: %w", to.addr, err)
				}
			}
		}
		return nil
	})
}

// flows is the number of connections that newFlows makes.
const flows = 20000

// newFlows sends one datagram each to many ports, and returns how many a second
// the far end's link took in: each is a new connection to the node's tracking.
func newFlows(from, to end) (rate float64, err error) {
	fd, err := from.space.socket(unix.SOCK_DGRAM, 0, netip.AddrPortFrom(to.addr, port))
	if err != nil {
		return 0, err
	}
	defer func() { _ = unix.Close(fd) }()
	return counted(to, func() error {
		buf, dst := make([]byte, payload), &unix.SockaddrInet4{Addr: to.addr.As4()}
		for i := range flows {
			dst.Port = 10000 + i
			// Nobody listens: an earlier datagram's refusal comes back as an error of this call.
			if err := unix.Sendto(fd, buf, 0, dst); err != nil && !errors.Is(err, unix.ECONNREFUSED) {
				return fmt.Errorf("sending to %s: %w", to.addr, err)
			}
		}
		return nil
	})
}

// counted is the packets a second that the far end's link takes in while f runs.
func counted(to end, f func() error) (rate float64, err error) {
	before, err := to.space.received(to.link)
	if err != nil {
		return 0, err
	}
	start := time.Now()
	if err := onThread(f); err != nil {
		return 0, err
	}
	took := time.Since(start)
	after, err := to.space.received(to.link)
	if err != nil {
		return 0, err
	}
	return float64(after-before) / took.Seconds(), nil
}

// Offsets in an ICMP echo (RFC 792); a raw socket delivers it behind the IP header.
const (
	icmpID, icmpSeq = 4, 6
	echo, echoReply = 8, 0
)

// ping makes n round trips, one after the other. The far end's kernel answers, so
// no process wakes up on the way. ttl is what the last answer had left of its own.
func ping(from, to end, n int) (out performance.Samples, ttl int, err error) {
	fd, err := from.space.socket(unix.SOCK_RAW, unix.IPPROTO_ICMP, netip.AddrPortFrom(to.addr, 0))
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = unix.Close(fd) }()
	id := uint16(os.Getpid()) //nolint:gosec // any number
	err = onThread(func() error {
		answer := make([]byte, 1500)
		for seq := range n {
			request := echoRequest(id, uint16(seq)) //nolint:gosec // it may wrap
			start := time.Now()
			if _, err := unix.Write(fd, request); err != nil {
				return fmt.Errorf("sending to %s: %w", to.addr, err)
			}
			for {
				m, err := unix.Read(fd, answer)
				if err != nil {
					return fmt.Errorf("waiting for the answer of %s: %w", to.addr, err)
				}
				if isReply(answer[:m], request) {
					ttl = int(answer[8])
					break
				}
			}
			out = append(out, time.Since(start))
		}
		return nil
	})
	return out, ttl, err
}

func echoRequest(id, seq uint16) []byte {
	m := make([]byte, payload+8)
	m[0] = echo
	binary.BigEndian.PutUint16(m[icmpID:], id)
	binary.BigEndian.PutUint16(m[icmpSeq:], seq)
	var sum uint32
	for i := 0; i < len(m); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(m[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(m[2:], ^uint16(sum)) //nolint:gosec // folded above
	return m
}

// isReply tells whether an IP packet is the answer to the request.
func isReply(packet, request []byte) bool {
	if len(packet) == 0 {
		return false
	}
	header := int(packet[0]&0xf) * 4
	if len(packet) < header+8 {
		return false
	}
	m := packet[header:]
	return m[0] == echoReply && string(m[icmpID:8]) == string(request[icmpID:8])
}
