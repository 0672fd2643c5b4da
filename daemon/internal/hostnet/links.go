package hostnet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// skipStats is RTEXT_FILTER_SKIP_STATS (linux/rtnetlink.h): statistics are more
// than half of what the kernel tells of a link.
const skipStats = 1 << 3

// dumps is how often a list is asked for that changes while the kernel tells it.
const dumps = 5

// listLinks reads the links of the thread's network namespace. A node has two
// for each pod, and every change of one leads here: the library's list, of all
// that there is to know, was most of what the daemon allocated.
func listLinks() ([]link, error) {
	for try := 1; ; try++ {
		req := nl.NewNetlinkRequest(unix.RTM_GETLINK, unix.NLM_F_DUMP)
		req.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
		req.AddData(nl.NewRtAttr(unix.IFLA_EXT_MASK, nl.Uint32Attr(skipStats)))
		var links []link
		var bad error
		err := req.ExecuteIter(unix.NETLINK_ROUTE, unix.RTM_NEWLINK, func(m []byte) bool {
			l, err := parseLink(m)
			links, bad = append(links, l), errors.Join(bad, err)
			return err == nil
		})
		if errors.Is(err, netlink.ErrDumpInterrupted) && try < dumps {
			continue
		}
		return links, errors.Join(err, bad)
	}
}

// parseLink reads struct ifinfomsg and the attributes behind it.
func parseLink(m []byte) (link, error) {
	if len(m) < unix.SizeofIfInfomsg {
		return link{}, fmt.Errorf("a link's message has %d bytes", len(m))
	}
	// The index at byte 4, the flags at byte 8.
	l := link{
		Index: int(int32(binary.NativeEndian.Uint32(m[4:]))), //nolint:gosec // it is a signed number
		Up:    binary.NativeEndian.Uint32(m[8:])&unix.IFF_UP != 0, Kind: "device",
	}
	attributes(m[unix.SizeofIfInfomsg:], func(kind uint16, value []byte) {
		switch kind {
		case unix.IFLA_IFNAME:
			l.Name = unix.ByteSliceToString(value)
		case unix.IFLA_IFALIAS:
			l.Alias = unix.ByteSliceToString(value)
		case unix.IFLA_ADDRESS:
			if strings.Trim(string(value), "\x00") != "" { // the loopback has none
				l.MAC = net.HardwareAddr(value).String()
			}
		case unix.IFLA_MTU:
			if len(value) >= 4 {
				l.MTU = int(binary.NativeEndian.Uint32(value))
			}
		case unix.IFLA_LINKINFO:
			attributes(value, func(kind uint16, value []byte) {
				if kind == nl.IFLA_INFO_KIND {
					l.Kind = unix.ByteSliceToString(value)
				}
			})
		}
	})
	return l, nil
}

// attributes calls f with each netlink attribute, and ends where one is cut off.
func attributes(b []byte, f func(kind uint16, value []byte)) {
	for len(b) >= unix.SizeofRtAttr {
		length := uint64(binary.NativeEndian.Uint16(b))
		if length < unix.SizeofRtAttr || length > uint64(len(b)) {
			return
		}
		f(binary.NativeEndian.Uint16(b[2:])&^uint16(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER), b[unix.SizeofRtAttr:length])
		b = b[min(align4(length), uint64(len(b))):]
	}
}
