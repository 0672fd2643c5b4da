package snat

import (
	"encoding/binary"
	"errors"
	"strings"

	"github.com/google/nftables/userdata"
	"github.com/vishvananda/netlink/nl"
)

// attr is a netlink attribute: what it is, and its payload.
type attr struct {
	kind  uint16
	value []byte
}

var errCut = errors.New("a netlink attribute is cut short")

// parseAttrs reads a list of attributes (struct nlattr, padded to 4 bytes), and
// does not trust their lengths.
func parseAttrs(b []byte) ([]attr, error) {
	const header = 4
	var out []attr
	for len(b) >= header {
		n := int(binary.NativeEndian.Uint16(b))
		if n < header || n > len(b) {
			return nil, errCut
		}
		out = append(out, attr{binary.NativeEndian.Uint16(b[2:]) & nl.NLA_TYPE_MASK, b[header:n]})
		b = b[min((n+3)&^3, len(b)):]
	}
	return out, nil
}

// messageAttrs are those behind the header of a netfilter message.
func messageAttrs(m []byte) ([]attr, error) {
	if len(m) < (nfgenmsg{}).Len() {
		return nil, errCut
	}
	return parseAttrs(m[nfgenmsg{}.Len():])
}

// number32 is a big-endian value; 0 if it is not four bytes long.
func number32(b []byte) uint32 {
	if len(b) != 4 {
		return 0
	}
	return binary.BigEndian.Uint32(b)
}

// text is a string that ends with a zero byte.
func text(b []byte) string { return strings.TrimRight(string(b), "\x00") }

// ruleComment is the comment of a rule's user data (libnftnl/udata.h: type,
// length, value). Other programs write there too, and what they like.
func ruleComment(b []byte) string {
	for len(b) >= 2 && len(b) >= 2+int(b[1]) {
		if b[0] == byte(userdata.TypeComment) {
			return text(b[2 : 2+int(b[1])])
		}
		b = b[2+int(b[1]):]
	}
	return ""
}
