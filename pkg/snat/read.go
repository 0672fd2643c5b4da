package snat

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// nfgenmsg is the header of a netfilter netlink message.
type nfgenmsg struct{ family uint8 }

func (m nfgenmsg) Len() int          { return 4 }
func (m nfgenmsg) Serialize() []byte { return []byte{m.family, unix.NFNETLINK_V0, 0, 0} }

func nftRequest(kind, flags int, attrs ...*nl.RtAttr) ([][]byte, error) {
	req := nl.NewNetlinkRequest(unix.NFNL_SUBSYS_NFTABLES<<8|kind, flags)
	req.AddData(nfgenmsg{unix.NFPROTO_IPV4})
	for _, a := range attrs {
		req.AddData(a)
	}
	return req.Execute(unix.NETLINK_NETFILTER, 0)
}

// generation is the number of the nftables ruleset, which the kernel counts up
// with every change of anything in it: one request, a few microseconds. The
// error is that of a kernel without nf_tables.
func generation() (uint32, error) {
	msgs, err := nftRequest(unix.NFT_MSG_GETGEN, 0)
	if err != nil {
		return 0, fmt.Errorf("asking for the generation of the nftables ruleset: %w", err)
	}
	for _, m := range msgs {
		attrs, err := messageAttrs(m)
		if err != nil {
			return 0, fmt.Errorf("reading the generation of the nftables ruleset: %w", err)
		}
		for _, a := range attrs {
			if a.kind == unix.NFTA_GEN_ID {
				return number32(a.value), nil
			}
		}
	}
	return 0, errors.New("the kernel named no generation of the nftables ruleset")
}

// handle of a rule and the comment it carries. A rule never changes under its handle.
type handle struct {
	number  uint64
	comment string
}

// handles are the rules of a chain, in order; none if the chain is not there.
func handles(table, chain string) ([]handle, error) {
	msgs, err := nftRequest(unix.NFT_MSG_GETRULE, unix.NLM_F_DUMP,
		nl.NewRtAttr(unix.NFTA_RULE_TABLE, nl.ZeroTerminated(table)), nl.NewRtAttr(unix.NFTA_RULE_CHAIN, nl.ZeroTerminated(chain)))
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading nftables chain %s %s: %w", table, chain, err)
	}
	var out []handle
	for _, m := range msgs {
		attrs, err := messageAttrs(m)
		if err != nil {
			return nil, fmt.Errorf("reading nftables chain %s %s: %w", table, chain, err)
		}
		var h handle
		of := ""
		for _, a := range attrs {
			switch a.kind {
			case unix.NFTA_RULE_CHAIN:
				of = text(a.value)
			case unix.NFTA_RULE_HANDLE:
				if len(a.value) == 8 {
					h.number = binary.BigEndian.Uint64(a.value)
				}
			case unix.NFTA_RULE_USERDATA:
				h.comment = ruleComment(a.value)
			}
		}
		if of == chain {
			out = append(out, h)
		}
	}
	return out, nil
}

// nftState is our table as it is.
type nftState struct {
	there    bool
	stock    bool // the stock CNI's table is there
	chains   map[string]hook
	rules    map[string][]handle
	set      *nftables.Set
	elements map[string]bool // address, "-" behind it for the end of an interval
}

// hook is where a base chain hangs.
type hook struct {
	kind string
	num  uint32
	prio int32
}

// readHook reads a chain of our table; ok is false if it is not there.
func readHook(name string) (h hook, ok bool, err error) {
	msgs, err := nftRequest(unix.NFT_MSG_GETCHAIN, 0,
		nl.NewRtAttr(unix.NFTA_CHAIN_TABLE, nl.ZeroTerminated(tableName)), nl.NewRtAttr(unix.NFTA_CHAIN_NAME, nl.ZeroTerminated(name)))
	if errors.Is(err, unix.ENOENT) {
		return hook{}, false, nil
	}
	if err != nil || len(msgs) == 0 {
		return hook{}, false, fmt.Errorf("reading nftables chain %s %s: %w", tableName, name, err)
	}
	attrs, err := messageAttrs(msgs[0])
	if err != nil {
		return hook{}, false, fmt.Errorf("reading nftables chain %s %s: %w", tableName, name, err)
	}
	for _, a := range attrs {
		switch a.kind {
		case unix.NFTA_CHAIN_TYPE:
			h.kind = text(a.value)
		case unix.NFTA_CHAIN_HOOK:
			parts, err := parseAttrs(a.value)
			if err != nil {
				return hook{}, false, fmt.Errorf("reading nftables chain %s %s: %w", tableName, name, err)
			}
			for _, p := range parts {
				switch p.kind {
				case unix.NFTA_HOOK_HOOKNUM:
					h.num = number32(p.value)
				case unix.NFTA_HOOK_PRIORITY:
					h.prio = int32(number32(p.value))
				}
			}
		}
	}
	return h, true, nil
}

// readNFT reads our table and nothing else of the ruleset but its tables' names.
func readNFT(c *nftables.Conn) (nftState, error) {
	s := nftState{chains: map[string]hook{}, rules: map[string][]handle{}, elements: map[string]bool{}}
	tables, err := c.ListTablesOfFamily(nftables.TableFamilyIPv4)
	if err != nil {
		return s, fmt.Errorf("listing nftables tables: %w", err)
	}
	for _, t := range tables {
		s.there = s.there || t.Name == tableName
		s.stock = s.stock || t.Name == stockTable
	}
	if !s.there {
		return s, nil
	}
	// By name, not by listing: kube-proxy has thousands of chains.
	for _, name := range []string{chainRestore, chainOutbound, chainSource} {
		hook, ok, err := readHook(name)
		if err != nil {
			return s, err
		}
		if !ok {
			continue
		}
		s.chains[name] = hook
		if s.rules[name], err = handles(tableName, name); err != nil {
			return s, err
		}
	}
	sets, err := c.GetSets(ourTable())
	if err != nil {
		return s, fmt.Errorf("listing nftables sets: %w", err)
	}
	for _, set := range sets {
		if set.Name != internalSet {
			continue
		}
		s.set = set
		elems, err := c.GetSetElements(set)
		if err != nil {
			return s, fmt.Errorf("reading nftables set %s: %w", internalSet, err)
		}
		for _, e := range elems {
			s.elements[elementKey(e)] = true
		}
	}
	return s, nil
}

func elementKey(e nftables.SetElement) string {
	if e.IntervalEnd {
		return string(e.Key) + "-"
	}
	return string(e.Key)
}

func ourTable() *nftables.Table {
	return &nftables.Table{Name: tableName, Family: nftables.TableFamilyIPv4}
}
