package snat

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/nftables"
)

// Now is what the kernel has of the NAT at this moment, whoever made it: our
// chains, and the rules that stand beside our jumps in the built-in chains.
type Now struct {
	Chains []Chain
}

// Chain is a chain as it is in the kernel.
type Chain struct {
	Name  string // "iptables nat POSTROUTING", "nftables ip vpc-snat outbound"
	Hook  string // prerouting, postrouting; empty for one that is only jumped to
	Prio  int    // of the hook: lower ones come first
	NAT   bool   // of type nat: asked once for a connection
	Rules []Line
}

// Line is a rule of a chain in a form that can be played through: what it asks
// of a packet, and what it does with it.
type Line struct {
	Where string // the chain with the rule's number, from 1
	Text  string // as its program lists it

	In, Out    Name // links' names; the zero Name is any
	Dst        []netip.Prefix
	DstNot     bool // the packet's destination is in none of Dst
	Src        []netip.Prefix
	SrcNot     bool
	Local      Truth  // the destination is an address of the node
	Restored   uint32 // the connection carries this mark already
	Unreadable string // what of the rule cannot be played through; such a rule is passed over

	Mark   uint32     // set on the packet
	Conn   uint32     // mark that is set on the connection
	Target string     // chain that it leads to
	Return bool       // back to the chain before
	Accept bool       // the chain's hook has ended
	To     netip.Addr // the new source
}

// Name asks for the name of a link, or for how it begins.
type Name struct {
	Text   string
	Prefix bool
	Not    bool
}

// Truth is yes, no, or not asked.
type Truth int

// The values of Truth.
const (
	Any Truth = iota
	Yes
	No
)

// Look reads what the kernel has and changes nothing. A node without the
// iptables command, or without nf_tables, has nothing of that kind.
func Look() (Now, error) {
	var now Now
	var errs []error
	if f, err := open("iptables"); err == nil {
		errs = append(errs, now.iptables(f))
		if o := f.other(); o != nil {
			errs = append(errs, now.iptables(o))
		}
	}
	if _, err := generation(); err == nil {
		errs = append(errs, now.nftables())
	}
	return now, errors.Join(errs...)
}

func (n *Now) iptables(f *flavour) error {
	state, err := f.read()
	if err != nil {
		return err
	}
	for _, table := range []string{"mangle", "nat"} {
		for _, c := range state[table] {
			out := Chain{Name: f.command + " " + table + " " + c.name, NAT: table == "nat"}
			switch {
			case c.name == "PREROUTING" && table == "mangle":
				out.Hook, out.Prio = "prerouting", prioRestore
			case c.name == "PREROUTING":
				out.Hook, out.Prio = "prerouting", prioOutbound-10 // dstnat
			case c.name == "POSTROUTING":
				out.Hook, out.Prio = "postrouting", prioSource
			}
			for i, text := range c.rules {
				l := parseLine(text)
				l.Where, l.Text = fmt.Sprintf("%s rule %d", out.Name, i+1), text
				if l.Target != "" {
					l.Target = f.command + " " + table + " " + l.Target
				}
				out.Rules = append(out.Rules, l)
			}
			n.Chains = append(n.Chains, out)
		}
	}
	return nil
}

func (n *Now) nftables() error {
	c, err := nftables.New()
	if err != nil {
		return fmt.Errorf("opening nftables: %w", err)
	}
	state, err := readNFT(c)
	if err != nil {
		return err
	}
	set := intervals(state.elements)
	for _, name := range []string{chainRestore, chainOutbound, chainSource} {
		h, ok := state.chains[name]
		if !ok {
			continue
		}
		out := Chain{Name: "nftables ip " + tableName + " " + name, Hook: "prerouting", Prio: int(h.prio), NAT: h.kind == string(nftables.ChainTypeNAT)}
		if name == chainSource {
			out.Hook = "postrouting"
		}
		rules, err := c.GetRules(ourTable(), &nftables.Chain{Name: name, Table: ourTable()})
		if err != nil {
			return fmt.Errorf("reading nftables chain %s %s: %w", tableName, name, err)
		}
		for i, r := range rules {
			l := decodeLine(r.Exprs, set)
			l.Where, l.Text = fmt.Sprintf("%s rule %d", out.Name, i+1), l.Text+" # "+ruleComment(r.UserData)
			out.Rules = append(out.Rules, l)
		}
		n.Chains = append(n.Chains, out)
	}
	return nil
}

// intervals turns the elements of an interval set into the prefixes it covers.
func intervals(elements map[string]bool) []netip.Prefix {
	type mark struct {
		at  uint64
		end bool
	}
	var marks []mark
	for key := range elements {
		end := len(key) == 5 // see elementKey
		if len(key) < 4 {
			continue
		}
		marks = append(marks, mark{uint64(binary.BigEndian.Uint32([]byte(key[:4]))), end})
	}
	slices.SortFunc(marks, func(a, b mark) int {
		if a.at != b.at {
			return int(int64(a.at) - int64(b.at)) //nolint:gosec // both fit 32 bits
		}
		if a.end == b.end {
			return 0
		}
		if a.end {
			return -1
		}
		return 1
	})
	var out []netip.Prefix
	for i, m := range marks {
		if m.end {
			continue
		}
		to := uint64(1) << 32
		if i+1 < len(marks) {
			to = marks[i+1].at
		}
		out = append(out, cover(m.at, to)...)
	}
	return out
}

// cover are the fewest prefixes of the addresses from from to before to.
func cover(from, to uint64) []netip.Prefix {
	var out []netip.Prefix
	for from < to {
		bits := 32
		for bits > 0 && from&(1<<(32-bits+1)-1) == 0 && from+1<<(32-bits+1) <= to {
			bits--
		}
		var raw [4]byte
		binary.BigEndian.PutUint32(raw[:], uint32(from)) //nolint:gosec // below 2^32
		out = append(out, netip.PrefixFrom(netip.AddrFrom4(raw), bits))
		from += 1 << (32 - bits)
	}
	return out
}

// Differences says everything that is not as the settings want it, the first
// thing first, and changes nothing.
func (k *Keeper) Differences(s Settings) ([]string, error) {
	if err := s.Missing(); err != nil {
		return nil, err
	}
	m, err := find(s)
	if err != nil {
		return nil, err
	}
	o, err := m.observe()
	if err != nil {
		return nil, err
	}
	out := m.diff(s, o)
	if err := checkRule(s); err != nil {
		out = append(out, err.Error())
	}
	stale, err := staleRules(s, true)
	for _, r := range stale {
		out = append(out, r+" is left over")
	}
	return out, err
}
