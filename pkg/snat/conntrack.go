package snat

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Attributes of conntrack messages (linux/netfilter/nfnetlink_conntrack.h) and
// the status bit of a connection that was answered.
const (
	ctMsgGet, ctMsgDelete          = 1, 2
	ctaTupleOrig, ctaStatus        = 1, 3
	ctaTupleIP                     = 1
	ctaIPv4Src, ctaIPv4Dst         = 1, 2
	ctaTupleReply                  = 2
	ipsSeenReply            uint32 = 1 << 1
)

// flow is a connection that the kernel tracks.
type flow struct {
	src, dst         netip.Addr // in the original direction
	replySrc         netip.Addr
	answered         bool
	original, zoneID *nl.RtAttr
}

// forget deletes the tracked connections that match in one pass over the table
// and counts them. A connection that is deleted and goes on is seen as new by
// the next packet, and gets what the rules say then.
func forget(match func(flow) bool) (int, error) {
	req := nl.NewNetlinkRequest(unix.NFNL_SUBSYS_CTNETLINK<<8|ctMsgGet, unix.NLM_F_DUMP)
	req.AddData(nfgenmsg{unix.NFPROTO_IPV4})
	msgs, err := req.Execute(unix.NETLINK_NETFILTER, 0)
	if err != nil {
		return 0, fmt.Errorf("listing tracked connections: %w", err)
	}
	n := 0
	var errs []error
	for _, m := range msgs {
		f, ok := parseFlow(m)
		if !ok || !match(f) {
			continue
		}
		del := nl.NewNetlinkRequest(unix.NFNL_SUBSYS_CTNETLINK<<8|ctMsgDelete, unix.NLM_F_ACK)
		del.AddData(nfgenmsg{unix.NFPROTO_IPV4})
		del.AddData(f.original)
		if f.zoneID != nil {
			del.AddData(f.zoneID)
		}
		switch _, err := del.Execute(unix.NETLINK_NETFILTER, 0); {
		case err == nil:
			n++
		case !errors.Is(err, unix.ENOENT):
			errs = append(errs, fmt.Errorf("deleting the tracked connection %s to %s: %w", f.src, f.dst, err))
		}
	}
	return n, errors.Join(errs...)
}

// parseFlow reads a conntrack message; ok is false for one that has no IPv4 tuple.
func parseFlow(m []byte) (f flow, ok bool) {
	const ctaZone = 18
	attrs, err := messageAttrs(m)
	if err != nil {
		return flow{}, false
	}
	for _, a := range attrs {
		switch a.kind {
		case ctaTupleOrig:
			f.src, f.dst = tuple(a.value)
			f.original = nl.NewRtAttr(unix.NLA_F_NESTED|ctaTupleOrig, a.value)
		case ctaTupleReply:
			f.replySrc, _ = tuple(a.value)
		case ctaStatus:
			f.answered = number32(a.value)&ipsSeenReply != 0
		case ctaZone:
			f.zoneID = nl.NewRtAttr(ctaZone, a.value)
		}
	}
	return f, f.original != nil && f.src.IsValid() && f.dst.IsValid()
}

func tuple(raw []byte) (src, dst netip.Addr) {
	parts, err := parseAttrs(raw)
	if err != nil {
		return src, dst
	}
	for _, p := range parts {
		if p.kind != ctaTupleIP {
			continue
		}
		addrs, err := parseAttrs(p.value)
		if err != nil {
			return src, dst
		}
		for _, a := range addrs {
			switch a.kind {
			case ctaIPv4Src:
				src, _ = netip.AddrFromSlice(a.value)
			case ctaIPv4Dst:
				dst, _ = netip.AddrFromSlice(a.value)
			}
		}
	}
	return src, dst
}

// forgetUnanswered deletes the connections out of the VPC that nobody has
// answered: they were begun while the rules were not right, and would keep the
// wrong source for as long as the client tries. Answered ones keep their address.
func forgetUnanswered(s Settings) (int, error) {
	inside := s.Internal()
	return forget(func(f flow) bool {
		return !f.answered && contains(inside, f.src) && !contains(inside, f.dst)
	})
}

// ForgetPods deletes every connection of the addresses, in one pass: whoever
// gets an address next must not inherit them. It counts them.
func ForgetPods(addrs []netip.Addr) (int, error) {
	gone := map[netip.Addr]bool{}
	for _, a := range addrs {
		gone[a] = true
	}
	return forget(func(f flow) bool { return gone[f.src] || gone[f.dst] || gone[f.replySrc] })
}

func contains(ps []netip.Prefix, a netip.Addr) bool {
	for _, p := range ps {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
