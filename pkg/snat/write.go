package snat

import (
	"fmt"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/userdata"
)

// nftDiff says in words what of our table is not as wanted, the first thing first.
func nftDiff(s Settings, source bool, have nftState) []string {
	var out []string
	want := s.nftChains(source)
	for _, c := range want {
		if ch, ok := have.chains[c.name]; !ok || !sameHook(ch, c) {
			out = append(out, fmt.Sprintf("nftables chain %s %s (%s) is missing", tableName, c.name, c.hook))
			continue
		}
		for _, r := range c.rules {
			if !slices.ContainsFunc(have.rules[c.name], func(h handle) bool { return h.comment == r.id() }) {
				out = append(out, fmt.Sprintf("nftables chain %s %s lacks the rule %s", tableName, c.name, r.text))
			}
		}
		if n := len(have.rules[c.name]); n > len(c.rules) {
			out = append(out, fmt.Sprintf("nftables chain %s %s has %d rules, not %d", tableName, c.name, n, len(c.rules)))
		}
	}
	for name := range have.chains {
		if !slices.ContainsFunc(want, func(c nftChain) bool { return c.name == name }) {
			out = append(out, fmt.Sprintf("nftables chain %s %s is left over", tableName, name))
		}
	}
	if len(want) > 0 && have.there {
		add, del := setDiff(s, have)
		if len(add)+len(del) > 0 {
			out = append(out, fmt.Sprintf("nftables set %s %s differs from %v", tableName, internalSet, s.Internal()))
		}
	}
	if have.stock {
		out = append(out, "the stock CNI's nftables table "+stockTable+" is left over")
	}
	return out
}

func sameHook(have hook, want nftChain) bool {
	return have == hook{string(want.kind), uint32(want.num), int32(want.prio)}
}

func setDiff(s Settings, have nftState) (add, del []nftables.SetElement) {
	wanted := map[string]bool{}
	for _, e := range elements(s.Internal()) {
		wanted[elementKey(e)] = true
		if !have.elements[elementKey(e)] {
			add = append(add, e)
		}
	}
	for key := range have.elements {
		if wanted[key] {
			continue
		}
		e := nftables.SetElement{Key: []byte(key)[:4], IntervalEnd: len(key) > 4}
		del = append(del, e)
	}
	return add, del
}

// writeNFT makes our table as wanted in one transaction: no packet sees a part
// of the change. Rules and elements that are right keep their handles and
// counters. The set is replaced as a whole when it differs: intervals that share
// a bound cannot be exchanged one by one.
func writeNFT(c *nftables.Conn, s Settings, source bool, have nftState) error {
	table := ourTable()
	want := s.nftChains(source)
	if have.stock {
		c.DelTable(&nftables.Table{Name: stockTable, Family: nftables.TableFamilyIPv4})
	}
	if len(want) == 0 {
		if have.there {
			c.DelTable(table)
		}
		return flush(c)
	}
	c.AddTable(table)
	if err := writeSet(c, table, s, have); err != nil {
		return err
	}
	for _, w := range want {
		writeChain(c, table, w, have)
	}
	for name := range have.chains {
		if !slices.ContainsFunc(want, func(w nftChain) bool { return w.name == name }) {
			ch := &nftables.Chain{Name: name, Table: table}
			c.FlushChain(ch)
			c.DelChain(ch)
		}
	}
	return flush(c)
}

func flush(c *nftables.Conn) error {
	if err := c.Flush(); err != nil {
		return fmt.Errorf("writing nftables table %s: %w", tableName, err)
	}
	return nil
}

func writeSet(c *nftables.Conn, table *nftables.Table, s Settings, have nftState) error {
	set := &nftables.Set{Table: table, Name: internalSet, KeyType: nftables.TypeIPAddr, Interval: true}
	elems := elements(s.Internal())
	if have.set == nil {
		return c.AddSet(set, elems)
	}
	set.ID = have.set.ID
	if add, del := setDiff(s, have); len(add)+len(del) == 0 {
		return nil
	}
	c.FlushSet(set)
	return c.SetAddElements(set, elems)
}

func writeChain(c *nftables.Conn, table *nftables.Table, w nftChain, have nftState) {
	chain := &nftables.Chain{Name: w.name, Table: table, Type: w.kind, Hooknum: &w.num, Priority: &w.prio}
	rules := have.rules[w.name]
	if ch, ok := have.chains[w.name]; ok && !sameHook(ch, w) {
		// Somebody else's idea of this chain: a hook cannot be changed in place.
		c.FlushChain(chain)
		c.DelChain(chain)
		rules = nil
	}
	c.AddChain(chain)
	keep := map[uint64]bool{}
	for _, r := range w.rules {
		i := slices.IndexFunc(rules, func(h handle) bool { return h.comment == r.id() && !keep[h.number] })
		if i >= 0 {
			keep[rules[i].number] = true
			continue
		}
		c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: r.exprs, UserData: userdata.AppendString(nil, userdata.TypeComment, r.id())})
	}
	for _, h := range rules {
		if !keep[h.number] {
			// The handle is set, which is all that DelRule can complain about.
			_ = c.DelRule(&nftables.Rule{Table: table, Chain: chain, Handle: h.number})
		}
	}
}
