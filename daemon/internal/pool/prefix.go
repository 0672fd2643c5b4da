package pool

import (
	"iter"
	"net/netip"
	"slices"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
)

// PreferPrefixes makes addresses of delegated prefixes the first to be given
// out, and single ones the last resort; without it is the other way round. What
// pods hold of the other kind they keep.
func (p *Pool) PreferPrefixes() { p.prefixes = true }

// AddPrefixes adds prefixes that EC2 has delegated to an ENI.
func (p *Pool) AddPrefixes(id string, prefixes []netip.Prefix) {
	m, ok := p.enis[id]
	if !ok {
		return
	}
	for _, b := range prefixes {
		if !slices.Contains(m.Prefixes, b) {
			m.Prefixes = append(slices.Clip(m.Prefixes), b)
		}
	}
}

// TakePrefixes removes prefixes that are to go back to EC2 and returns those
// that it removed: one of which an address is held or rests stays.
func (p *Pool) TakePrefixes(id string, prefixes []netip.Prefix, now time.Time) []netip.Prefix {
	m, ok := p.enis[id]
	if !ok {
		return nil
	}
	var out []netip.Prefix
	for _, b := range prefixes {
		if use := p.usage(b, now); slices.Contains(m.Prefixes, b) && use.held+use.resting == 0 {
			out = append(out, b)
		}
	}
	m.Prefixes = slices.DeleteFunc(slices.Clone(m.Prefixes), func(b netip.Prefix) bool { return slices.Contains(out, b) })
	return out
}

// addresses are those of e that pods can have, each with the prefix that it is
// of, or the zero one.
func addresses(e eni.ENI) iter.Seq2[netip.Addr, netip.Prefix] {
	return func(yield func(netip.Addr, netip.Prefix) bool) {
		for _, a := range e.Addresses {
			if !yield(a, netip.Prefix{}) {
				return
			}
		}
		for _, b := range e.Prefixes {
			for a := range within(b) {
				if !yield(a, b) {
					return
				}
			}
		}
	}
}

// within are the addresses of a prefix; pods use the first and the last too.
func within(b netip.Prefix) iter.Seq[netip.Addr] {
	return func(yield func(netip.Addr) bool) {
		for a := b.Masked().Addr(); b.Contains(a) && yield(a); a = a.Next() {
		}
	}
}

// usage of a prefix; best is the available address that is unused for longest.
type usage struct {
	held, resting int
	best          netip.Addr
}

func (p *Pool) usage(b netip.Prefix, now time.Time) usage {
	var u usage
	for a := range within(b) {
		switch {
		case p.byAddr[a] != nil:
			u.held++
		case !p.available(a, now):
			u.resting++
		default:
			u.best = p.longer(u.best, a)
		}
	}
	return u
}

// longer is the one of two addresses that is unused for longer.
func (p *Pool) longer(best, a netip.Addr) netip.Addr {
	if !best.IsValid() || p.freed[a].Before(p.freed[best]) {
		return a
	}
	return best
}

// pick chooses the address for the next pod.
func (p *Pool) pick(now time.Time) (netip.Addr, string, bool) {
	first, second := p.pickSingle, p.pickPacked
	if p.prefixes {
		first, second = second, first
	}
	if a, id, ok := first(now); ok {
		return a, id, ok
	}
	return second(now)
}

// pickSingle takes the primary ENI's first, whose pods need no routing rule, and
// of an ENI the one that is unused for longest.
func (p *Pool) pickSingle(now time.Time) (netip.Addr, string, bool) {
	for _, m := range p.serving() {
		var best netip.Addr
		for _, a := range m.Addresses {
			if p.available(a, now) {
				best = p.longer(best, a)
			}
		}
		if best.IsValid() {
			return best, m.ID, true
		}
	}
	return netip.Addr{}, "", false
}

// pickPacked takes the fullest prefix that has an address left, so that the
// others become free as a whole. Among equals one that rests in part goes first:
// it cannot be given back anyway.
func (p *Pool) pickPacked(now time.Time) (addr netip.Addr, id string, ok bool) {
	var most usage
	for _, m := range p.serving() {
		for _, b := range m.Prefixes {
			u := p.usage(b, now)
			if u.best.IsValid() && (!ok || u.held > most.held || u.held == most.held && u.resting > most.resting) {
				most, addr, id, ok = u, u.best, m.ID, true
			}
		}
	}
	return addr, id, ok
}

// serving are the ENIs that can take pods now, the primary one first.
func (p *Pool) serving() []*member {
	return slices.DeleteFunc(p.ordered(), func(m *member) bool { return !m.ready || p.reserves(m.ENI) || p.drains(m.ENI) })
}
