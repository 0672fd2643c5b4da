package snat

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Our table of nftables.
const (
	tableName   = "vpc-snat"
	internalSet = "internal" // destinations that keep the pod's address and ENI
	stockTable  = "aws-cni"  // the stock CNI's, 1.23 and later

	chainRestore  = "prerouting"
	chainOutbound = "outbound"
	chainSource   = "postrouting"
)

// Priorities of the chains' hooks.
const (
	prioRestore  = -150 // mangle, as iptables'
	prioOutbound = -90  // after every DNAT (-100)
	prioSource   = 100  // srcnat
)

// nftChain is a base chain of our table.
type nftChain struct {
	name  string
	hook  string // as nft writes it
	kind  nftables.ChainType
	num   nftables.ChainHook
	prio  nftables.ChainPriority
	rules []nftRule
}

// nftRule is a rule as expressions and as nft would print it.
type nftRule struct {
	comment string
	text    string
	exprs   []expr.Any
}

// id is what the rule carries as its comment: readable, and different for each
// content, so that a rule with the id is the rule.
func (r nftRule) id() string {
	sum := sha256.Sum256([]byte(r.text))
	return r.comment + " #" + hex.EncodeToString(sum[:4])
}

// nftChains are the chains of our table that the settings ask for; source says
// whether the SNAT itself is among them.
func (s Settings) nftChains(source bool) []nftChain {
	var out []nftChain
	if s.markPrimary() {
		out = append(out, s.restoreChain())
	}
	if !s.External {
		out = append(out, nftChain{
			chainOutbound, "type filter hook prerouting priority -90", nftables.ChainTypeFilter, unix.NF_INET_PRE_ROUTING, prioOutbound,
			[]nftRule{rule(commentOutbound).iifPrefix(s.VethPrefix).firstPacket().external().setMarks(s.Mark)},
		})
		if source {
			out = append(out, nftChain{
				chainSource, "type nat hook postrouting priority srcnat", nftables.ChainTypeNAT, unix.NF_INET_POST_ROUTING, prioSource,
				[]nftRule{rule(commentSNAT).oifNotPrefix("vlan").external().notLocal().snat(s.NodeIP, s.Randomize)},
			})
		}
	}
	return out
}

// restoreChain marks connections that came in by the primary ENI to an address
// of the node (before the DNAT of a NodePort or hostPort), and puts the mark of a
// connection on its packets that come from pods, so that rule 1024 sends them
// where the connection belongs.
func (s Settings) restoreChain() nftChain {
	c := nftChain{
		chainRestore, "type filter hook prerouting priority mangle", nftables.ChainTypeFilter, unix.NF_INET_PRE_ROUTING, prioRestore,
		nil,
	}
	if s.NodePort {
		c.rules = append(c.rules,
			rule(commentPrimary).iif(s.PrimaryLink).toLocalOfLink().setConnMark(s.Mark),
			rule(commentPrimary).iifPrefix("vlan").restore(s.Mark))
	}
	c.rules = append(c.rules, rule(commentPrimary).iifPrefix(s.VethPrefix).restore(s.Mark))
	return c
}

func rule(comment string) nftRule { return nftRule{comment: comment} }

func (r nftRule) with(text string, exprs ...expr.Any) nftRule {
	if r.text != "" {
		r.text += " "
	}
	r.text += text
	r.exprs = append(r.exprs, exprs...)
	return r
}

func (r nftRule) iif(name string) nftRule {
	return r.with(fmt.Sprintf("iifname %q", name), &expr.Meta{Key: expr.MetaKeyIIFNAME, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: append([]byte(name), make([]byte, unix.IFNAMSIZ-len(name))...)})
}

func (r nftRule) iifPrefix(prefix string) nftRule {
	return r.with(fmt.Sprintf("iifname %q", prefix+"*"), &expr.Meta{Key: expr.MetaKeyIIFNAME, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte(prefix)})
}

func (r nftRule) oifNotPrefix(prefix string) nftRule {
	return r.with(fmt.Sprintf("oifname != %q", prefix+"*"), &expr.Meta{Key: expr.MetaKeyOIFNAME, Register: 1},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: []byte(prefix)})
}

// toLocalOfLink is iptables' addrtype --dst-type LOCAL --limit-iface-in.
func (r nftRule) toLocalOfLink() nftRule {
	return r.with("fib daddr . iif type local", &expr.Fib{Register: 1, FlagDADDR: true, FlagIIF: true, ResultADDRTYPE: true},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: number(unix.RTN_LOCAL)})
}

func (r nftRule) notLocal() nftRule {
	return r.with("fib daddr type != local", &expr.Fib{Register: 1, FlagDADDR: true, ResultADDRTYPE: true},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: number(unix.RTN_LOCAL)})
}

// firstPacket: later ones are restored from the connection, and a reply's first
// packet belongs to a connection that came in another way.
func (r nftRule) firstPacket() nftRule {
	return r.with("ct state new ct direction original",
		&expr.Ct{Key: expr.CtKeySTATE, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: number(expr.CtStateBitNEW), Xor: number(0)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: number(0)},
		&expr.Ct{Key: expr.CtKeyDIRECTION, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{0}})
}

func (r nftRule) external() nftRule {
	const daddr = 16 // offset in the IPv4 header
	return r.with("ip daddr != @"+internalSet,
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: daddr, Len: 4},
		&expr.Lookup{SourceRegister: 1, SetName: internalSet, Invert: true})
}

func or(reg, mark uint32) *expr.Bitwise {
	return &expr.Bitwise{SourceRegister: reg, DestRegister: reg, Len: 4, Mask: number(^mark), Xor: number(mark)}
}

func (r nftRule) setConnMark(mark uint32) nftRule {
	return r.with(fmt.Sprintf("ct mark set ct mark | %#x", mark),
		&expr.Ct{Key: expr.CtKeyMARK, Register: 1}, or(1, mark), &expr.Ct{Key: expr.CtKeyMARK, Register: 1, SourceRegister: true})
}

func (r nftRule) setMark(mark uint32) nftRule {
	return r.with(fmt.Sprintf("meta mark set meta mark | %#x", mark),
		&expr.Meta{Key: expr.MetaKeyMARK, Register: 1}, or(1, mark), &expr.Meta{Key: expr.MetaKeyMARK, Register: 1, SourceRegister: true})
}

func (r nftRule) setMarks(mark uint32) nftRule { return r.setConnMark(mark).setMark(mark) }

func (r nftRule) restore(mark uint32) nftRule {
	return r.with(fmt.Sprintf("ct mark & %#x == %#x", mark, mark),
		&expr.Ct{Key: expr.CtKeyMARK, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: number(mark), Xor: number(0)},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: number(mark)}).setMark(mark)
}

func (r nftRule) snat(to netip.Addr, randomize string) nftRule {
	nat := &expr.NAT{Type: expr.NATTypeSourceNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: 1, RegAddrMax: 1}
	text := "snat to " + to.String()
	switch randomize {
	case "prng":
		nat.FullyRandom, text = true, text+" fully-random"
	case "hashrandom":
		nat.Random, text = true, text+" random"
	}
	return r.with(text, &expr.Immediate{Register: 1, Data: to.AsSlice()}, nat)
}

// number is a 32-bit value as the kernel keeps it in a register.
func number(n uint32) []byte { return binary.NativeEndian.AppendUint32(nil, n) }

// elements are the intervals of a set: its start, and the first address after it.
func elements(ps []netip.Prefix) []nftables.SetElement {
	var out []nftables.SetElement
	for _, p := range ps {
		out = append(out, nftables.SetElement{Key: p.Addr().AsSlice()})
		end := binary.BigEndian.Uint32(p.Addr().AsSlice()) + 1<<(32-p.Bits())
		if end == 0 {
			continue // up to the last address
		}
		out = append(out, nftables.SetElement{Key: net.IP(binary.BigEndian.AppendUint32(nil, end)), IntervalEnd: true})
	}
	return out
}
