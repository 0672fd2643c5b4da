package explain

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/vpcchain/vpcchain/pkg/snat"
)

// deepest bounds jumps from chain to chain; the kernel refuses loops.
const deepest = 64

// hook plays the packet through the chains of a hook, by priority. Once the
// source is decided no other chain of type nat is asked.
func (w *way) hook(name string) {
	var chains []snat.Chain
	for _, c := range w.s.NAT {
		if c.Hook == name {
			chains = append(chains, c)
		}
	}
	slices.SortStableFunc(chains, func(a, b snat.Chain) int { return a.Prio - b.Prio })
	bound := false
	for _, c := range chains {
		if c.NAT && bound {
			continue
		}
		bound = w.chain(c, deepest) == ended && c.NAT || bound
	}
}

// How a chain was left.
type left int

const (
	through left = iota // to the chain before
	ended               // for the whole hook of this chain
)

func (w *way) chain(c snat.Chain, depth int) left {
	for _, l := range c.Rules {
		if !w.matches(l) {
			continue
		}
		if l.Unreadable != "" {
			w.a.Doubts = append(w.a.Doubts, fmt.Sprintf("%s (%s) is passed over: %s", l.Where, l.Text, l.Unreadable))
			continue
		}
		switch {
		case l.To.IsValid():
			w.translate(l)
			return ended
		case l.Return:
			w.keep(l, "it ends the chain: the source stays")
			return through
		case l.Accept:
			return ended
		case l.Target != "":
			if w.jump(l, depth) == ended {
				return ended
			}
		default:
			w.setMarks(l)
		}
	}
	return through
}

func (w *way) jump(l snat.Line, depth int) left {
	i := slices.IndexFunc(w.s.NAT, func(c snat.Chain) bool { return c.Name == l.Target })
	if i < 0 {
		w.a.Doubts = append(w.a.Doubts, fmt.Sprintf("%s leads to %s, another program's chain, which is passed over", l.Where, l.Target))
		return through
	}
	if depth == 0 {
		return through
	}
	return w.chain(w.s.NAT[i], depth-1)
}

func (w *way) setMarks(l snat.Line) {
	w.conn |= l.Conn
	w.mark |= l.Mark
	if l.Mark != 0 {
		w.step(Step{Stage: "mark", Object: l.Where + ": " + l.Text, Effect: fmt.Sprintf("marks it %#x", l.Mark), Mark: l.Mark})
	}
}

func (w *way) translate(l snat.Line) {
	w.step(Step{Stage: "source", Object: l.Where + ": " + l.Text, Effect: fmt.Sprintf("source %s becomes %s", w.src, l.To), Source: l.To})
	w.src = l.To
}

// keep notes a rule that keeps the source as it is.
func (w *way) keep(l snat.Line, effect string) {
	if !strings.Contains(l.Where, "SNAT") && !strings.Contains(l.Where, "postrouting") {
		return
	}
	w.keeper = l.Where
	w.step(Step{Stage: "source", Object: l.Where + ": " + l.Text, Effect: effect, Source: w.src})
}

// matches asks the rule's conditions. The destinations come last, because they
// are the ones whose answer a person wants to see.
func (w *way) matches(l snat.Line) bool {
	if !name(l.In, w.in.Name) || !name(l.Out, w.out) || l.Restored&^w.conn != 0 {
		return false
	}
	if l.Local != snat.Any && (l.Local == snat.Yes) != w.s.isLocal(w.dst) {
		return false
	}
	if l.Src != nil && inside(l.Src, w.src) == l.SrcNot {
		return false
	}
	in := inside(l.Dst, w.dst)
	if l.Dst == nil && !l.DstNot {
		return true
	}
	if l.DstNot && in && w.out != "" {
		w.keep(l, fmt.Sprintf("%s is among these destinations: the source stays", w.dst))
	}
	return in != l.DstNot
}

func inside(ps []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(ps, func(p netip.Prefix) bool { return p.Contains(a) })
}

func name(n snat.Name, link string) bool {
	if n.Text == "" {
		return true
	}
	is := n.Text == link || n.Prefix && strings.HasPrefix(link, n.Text)
	return is != n.Not
}
