// Package capture prints the packets of a link the way a protocol analyser
// lists them: time, source, destination, protocol, length, what it is. It reads
// a packet socket in the namespace it is called in and decodes Ethernet,
// 802.1Q, ARP, IPv4, TCP, UDP and ICMP; nothing is reassembled or resolved.
package capture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"
)

// Packet is one decoded frame.
type Packet struct {
	Time     time.Time      `json:"time"`
	VLAN     int            `json:"vlan,omitempty"` // 802.1Q id
	Source   netip.AddrPort `json:"source"`         // port 0 for ICMP and ARP
	Dest     netip.AddrPort `json:"dest"`
	Protocol string         `json:"protocol"` // TCP, HTTP, UDP, ICMP, ARP, or the IP protocol number
	Length   int            `json:"length"`   // of the frame, bytes
	Info     string         `json:"info"`
	SrcMAC   string         `json:"srcMAC"`
	DstMAC   string         `json:"dstMAC"`

	proto byte // IP protocol, for filters
}

const (
	etherIPv4 = 0x0800
	etherARP  = 0x0806
	etherVLAN = 0x8100

	protoICMP = 1
	protoTCP  = 6
	protoUDP  = 17
)

// ErrNotShown is a frame of a kind that is not listed (IPv6, LLDP, …).
var ErrNotShown = errors.New("not an IPv4 or ARP frame")

// errShort is a frame cut before the field that is wanted.
var errShort = errors.New("frame is cut short")

// Decode reads an Ethernet frame.
func Decode(frame []byte, at time.Time) (Packet, error) {
	if len(frame) < 14 {
		return Packet{}, errShort
	}
	p := Packet{Time: at, Length: len(frame), DstMAC: mac(frame[0:6]), SrcMAC: mac(frame[6:12])}
	kind, body := binary.BigEndian.Uint16(frame[12:]), frame[14:]
	if kind == etherVLAN {
		if len(body) < 4 {
			return Packet{}, errShort
		}
		p.VLAN = int(binary.BigEndian.Uint16(body) & 0x0fff)
		kind, body = binary.BigEndian.Uint16(body[2:]), body[4:]
	}
	switch kind {
	case etherIPv4:
		return p, p.ipv4(body)
	case etherARP:
		return p, p.arp(body)
	default:
		return Packet{}, ErrNotShown
	}
}

func mac(b []byte) string { return net.HardwareAddr(b).String() }

func addr(b []byte) netip.Addr {
	a, _ := netip.AddrFromSlice(b)
	return a
}

func (p *Packet) arp(b []byte) error {
	if len(b) < 28 {
		return errShort
	}
	p.Protocol = "ARP"
	p.Source, p.Dest = netip.AddrPortFrom(addr(b[14:18]), 0), netip.AddrPortFrom(addr(b[24:28]), 0)
	if binary.BigEndian.Uint16(b[6:]) == 1 {
		p.Info = fmt.Sprintf("Who has %s? Tell %s", p.Dest.Addr(), p.Source.Addr())
	} else {
		p.Info = fmt.Sprintf("%s is at %s", p.Source.Addr(), mac(b[8:14]))
	}
	return nil
}

func (p *Packet) ipv4(b []byte) error {
	if len(b) < 20 {
		return errShort
	}
	header, total := int(b[0]&0x0f)*4, int(binary.BigEndian.Uint16(b[2:]))
	if header < 20 || total < header || len(b) < total {
		return errShort
	}
	p.proto = b[9]
	src, dst := addr(b[12:16]), addr(b[16:20])
	p.Source, p.Dest = netip.AddrPortFrom(src, 0), netip.AddrPortFrom(dst, 0)
	body := b[header:total]
	if binary.BigEndian.Uint16(b[6:])&0x1fff != 0 {
		p.Protocol, p.Info = "IPv4", "Fragment"
		return nil
	}
	switch p.proto {
	case protoTCP:
		return p.tcp(body)
	case protoUDP:
		return p.udp(body)
	case protoICMP:
		return p.icmp(body)
	}
	p.Protocol, p.Info = fmt.Sprint(p.proto), fmt.Sprintf("%d bytes", len(body))
	return nil
}

func (p *Packet) ports(b []byte) {
	p.Source = netip.AddrPortFrom(p.Source.Addr(), binary.BigEndian.Uint16(b))
	p.Dest = netip.AddrPortFrom(p.Dest.Addr(), binary.BigEndian.Uint16(b[2:]))
}

func (p *Packet) udp(b []byte) error {
	if len(b) < 8 {
		return errShort
	}
	p.ports(b)
	p.Protocol, p.Info = "UDP", fmt.Sprintf("%d → %d Len=%d", p.Source.Port(), p.Dest.Port(), len(b)-8)
	return nil
}

func (p *Packet) icmp(b []byte) error {
	if len(b) < 8 {
		return errShort
	}
	p.Protocol = "ICMP"
	id, seq := binary.BigEndian.Uint16(b[4:]), binary.BigEndian.Uint16(b[6:])
	switch b[0] {
	case 8:
		p.Info = fmt.Sprintf("Echo (ping) request id=%d seq=%d", id, seq)
	case 0:
		p.Info = fmt.Sprintf("Echo (ping) reply id=%d seq=%d", id, seq)
	default:
		p.Info = fmt.Sprintf("Type %d code %d", b[0], b[1])
	}
	return nil
}

func (p *Packet) tcp(b []byte) error {
	if len(b) < 20 {
		return errShort
	}
	header := int(b[12]>>4) * 4
	if header < 20 || len(b) < header {
		return errShort
	}
	p.ports(b)
	p.Protocol = "TCP"
	payload := b[header:]
	if line, ok := httpLine(payload); ok {
		p.Protocol, p.Info = "HTTP", line
		return nil
	}
	info := fmt.Sprintf("%d → %d [%s] Win=%d Len=%d", p.Source.Port(), p.Dest.Port(), flags(b[13]),
		binary.BigEndian.Uint16(b[14:]), len(payload))
	if b[13]&synFlag != 0 {
		info += options(b[20:header])
	}
	p.Info = info
	return nil
}

const synFlag = 0x02

func flags(b byte) string {
	var on []string
	for i, name := range []string{"FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"} {
		if b&(1<<i) != 0 {
			on = append(on, name)
		}
	}
	return strings.Join(on, ", ")
}

// options prints what a SYN negotiates: MSS, SACK_PERM and the window scale as a factor.
func options(b []byte) string {
	var out strings.Builder
	for len(b) > 0 {
		switch {
		case b[0] == 0:
			return out.String()
		case b[0] == 1:
			b = b[1:]
			continue
		case len(b) < 2 || b[1] < 2 || int(b[1]) > len(b):
			return out.String()
		case b[0] == 2 && b[1] == 4:
			fmt.Fprintf(&out, " MSS=%d", binary.BigEndian.Uint16(b[2:]))
		case b[0] == 3 && b[1] == 3:
			fmt.Fprintf(&out, " WS=%d", 1<<min(b[2], 14))
		case b[0] == 4:
			out.WriteString(" SACK_PERM")
		}
		b = b[b[1]:]
	}
	return out.String()
}

// httpLine is the first line of an HTTP request or response.
func httpLine(b []byte) (string, bool) {
	for _, start := range []string{"GET ", "HEAD ", "POST ", "PUT ", "HTTP/1."} {
		if bytes.HasPrefix(b, []byte(start)) {
			line, _, _ := bytes.Cut(b[:min(len(b), 200)], []byte("\r\n"))
			return string(line), true
		}
	}
	return "", false
}
