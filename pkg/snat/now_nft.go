package snat

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// decodeLine reads the expressions of a rule of our table, as rules.go writes
// them: each loads something into a register, and the next asks or sets it. set
// is what the set of internal destinations covers.
func decodeLine(exprs []expr.Any, set []netip.Prefix) Line {
	d := decoder{set: set}
	for _, e := range exprs {
		d.step(e)
	}
	d.line.Text = strings.Join(d.text, " ")
	return d.line
}

type decoder struct {
	line Line
	set  []netip.Prefix
	text []string
	held string // what the register has
	mask uint32 // of the last bitwise operation
	xor  uint32
	addr netip.Addr
}

func (d *decoder) say(format string, args ...any) {
	d.text = append(d.text, fmt.Sprintf(format, args...))
}

func (d *decoder) unknown(what string) { d.line.Unreadable = "it has " + what }

func (d *decoder) step(e expr.Any) {
	switch e := e.(type) {
	case *expr.Meta:
		d.meta(e)
	case *expr.Ct:
		d.ct(e)
	case *expr.Bitwise:
		d.mask, d.xor = value32(e.Mask), value32(e.Xor)
	case *expr.Cmp:
		d.cmp(e)
	case *expr.Payload:
		d.held = "a part of the packet"
		if e.Base == expr.PayloadBaseNetworkHeader && e.Offset == 16 && e.Len == 4 {
			d.held = "daddr"
		}
	case *expr.Lookup:
		if d.held != "daddr" || e.SetName != internalSet {
			d.unknown("a look into set " + e.SetName)
			return
		}
		d.line.Dst, d.line.DstNot = d.set, e.Invert
		d.say("ip daddr%s @%s", map[bool]string{true: " !="}[e.Invert], e.SetName)
	case *expr.Fib:
		d.held = "fib"
	case *expr.Immediate:
		d.addr, _ = netip.AddrFromSlice(e.Data)
	case *expr.NAT:
		d.line.To = d.addr
		d.say("snat to %s", d.addr)
	case *expr.Counter:
	default:
		d.unknown(fmt.Sprintf("an expression %T", e))
	}
}

func (d *decoder) meta(e *expr.Meta) {
	switch {
	case e.Key == expr.MetaKeyMARK && e.SourceRegister:
		d.line.Mark = d.xor
		d.say("meta mark set meta mark | %#x", d.xor)
	case e.Key == expr.MetaKeyMARK:
		d.held = "mark"
	case e.Key == expr.MetaKeyIIFNAME:
		d.held = "iifname"
	case e.Key == expr.MetaKeyOIFNAME:
		d.held = "oifname"
	default:
		d.held = "something else of the packet"
	}
}

func (d *decoder) ct(e *expr.Ct) {
	switch {
	// The library does not read the source register back; a load names register 1 or more.
	case e.Key == expr.CtKeyMARK && (e.SourceRegister || e.Register == 0):
		d.line.Conn = d.xor
		d.say("ct mark set ct mark | %#x", d.xor)
	case e.Key == expr.CtKeyMARK:
		d.held = "ctmark"
	case e.Key == expr.CtKeySTATE:
		d.held = "state"
	case e.Key == expr.CtKeyDIRECTION:
		d.held = "direction"
	default:
		d.held = "something else of the connection"
	}
}

func (d *decoder) cmp(e *expr.Cmp) {
	not := e.Op == expr.CmpOpNeq
	switch d.held {
	case "iifname", "oifname":
		n := Name{Text: strings.TrimRight(string(e.Data), "\x00"), Prefix: len(e.Data) < unix.IFNAMSIZ, Not: not}
		if d.held == "iifname" {
			d.line.In = n
		} else {
			d.line.Out = n
		}
		d.say("%s%s %q", d.held, map[bool]string{true: " !="}[not], n.Text+map[bool]string{true: "*"}[n.Prefix])
	case "state": // != 0 under the mask: one of the states; only new connections are played through
		if d.mask != expr.CtStateBitNEW || !not {
			d.unknown("a state other than new")
		}
		d.say("ct state new")
	case "direction":
		d.say("ct direction original")
	case "ctmark":
		d.line.Restored = value32(e.Data)
		d.say("ct mark & %#x == %#x", d.mask, d.line.Restored)
	case "fib":
		d.line.Local = Yes
		if not {
			d.line.Local = No
		}
		d.say("fib daddr type%s local", map[bool]string{true: " !="}[not])
	default:
		d.unknown("a comparison of " + d.held)
	}
}

func value32(b []byte) uint32 {
	if len(b) != 4 {
		return 0
	}
	return binary.NativeEndian.Uint32(b)
}
