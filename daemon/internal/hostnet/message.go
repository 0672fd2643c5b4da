package hostnet

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// fraProtocol is FRA_PROTOCOL (linux/fib_rules.h): who made the rule, one byte.
const fraProtocol = 21

// relevant tells whether a datagram of the kernel has a change that can call
// for a repair: anything but an addition with our protocol. What cannot be
// parsed does.
func relevant(datagram []byte) bool {
	for len(datagram) > 0 {
		kind, body, rest, ok := nextMessage(datagram)
		if !ok {
			return true
		}
		switch kind {
		case unix.RTM_NEWROUTE:
			// struct rtmsg has the protocol at byte 5.
			if len(body) < unix.SizeofRtMsg || body[5] != vpcnet.RouteProtocol {
				return true
			}
		case unix.RTM_NEWRULE:
			if ruleProtocol(body) != vpcnet.RouteProtocol {
				return true
			}
		default:
			return true
		}
		datagram = rest
	}
	return false
}

// nextMessage splits the first netlink message off: struct nlmsghdr, then its
// body, padded to 4 bytes.
func nextMessage(b []byte) (kind uint16, body, rest []byte, ok bool) {
	if len(b) < unix.SizeofNlMsghdr {
		return 0, nil, nil, false
	}
	length := uint64(binary.NativeEndian.Uint32(b))
	if length < unix.SizeofNlMsghdr || length > uint64(len(b)) {
		return 0, nil, nil, false
	}
	return binary.NativeEndian.Uint16(b[4:]), b[unix.SizeofNlMsghdr:length], b[min(align4(length), uint64(len(b))):], true
}

// ruleProtocol reads FRA_PROTOCOL of a rule: unlike a route's, it is not in the
// header (struct fib_rule_hdr, as long as struct rtmsg). 0 when absent.
func ruleProtocol(body []byte) int {
	if len(body) < unix.SizeofRtMsg {
		return 0
	}
	for b := body[unix.SizeofRtMsg:]; len(b) >= unix.SizeofRtAttr; {
		length := uint64(binary.NativeEndian.Uint16(b))
		if length < unix.SizeofRtAttr || length > uint64(len(b)) {
			return 0
		}
		if binary.NativeEndian.Uint16(b[2:]) == fraProtocol && length > unix.SizeofRtAttr {
			return int(b[unix.SizeofRtAttr])
		}
		b = b[min(align4(length), uint64(len(b))):]
	}
	return 0
}

func align4(n uint64) uint64 { return (n + 3) &^ 3 }
