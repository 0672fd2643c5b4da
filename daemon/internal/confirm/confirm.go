// Package confirm doubts the answers of EC2 and IMDS where pods would lose by
// them. Both may lag behind what they were told, so an address that a pod holds
// and that an answer does not list is kept until a second answer, some time
// later, does not list it either. Meanwhile no other pod gets it.
//
// It is a plain state machine: no lock, no clock, no I/O.
package confirm

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/daemon/internal/pool"
)

// After is how long after the first answer a second one counts: longer than EC2
// and IMDS lag.
const After = 30 * time.Second

// Verdict on an address that a pod holds.
type Verdict int

// An address is doubted after the first answer without it, lost after the
// second, and back when an answer lists it again.
const (
	Doubted Verdict = iota
	Lost
	Back
)

// Change is a verdict that is new.
type Change struct {
	Holder  pool.Allocation
	Verdict Verdict
}

// String says the change and what to do about it.
func (c Change) String() string {
	what := fmt.Sprintf("%s of %s on %s", c.Holder.Addr, c.Holder.Attachment, c.Holder.ENI)
	switch c.Verdict {
	case Doubted:
		return what + " is not listed any more; it is kept, and EC2 asked again in " + After.String()
	case Lost:
		return what + " is not listed for the second time: somebody took it away, and its pod has no network: delete the pod, so that it gets another"
	default:
		return what + " is listed again"
	}
}

// Judge remembers what was not listed. The zero value is ready.
type Judge struct {
	since map[netip.Addr]time.Time // of the first answer without it
	lost  map[netip.Addr]bool
}

// Hear takes an answer and returns the ENIs to believe in: those of the answer,
// and with them what pods hold and only this answer lacks. Known are the ENIs
// believed in so far; an ENI that is not among them and not in the answer
// cannot be kept. Held is what pods hold.
func (j *Judge) Hear(answer, known []eni.ENI, held []pool.Allocation, now time.Time) ([]eni.ENI, []Change) {
	if j.since == nil {
		j.since, j.lost = map[netip.Addr]time.Time{}, map[netip.Addr]bool{}
	}
	var changes []Change
	out := slices.Clone(answer)
	current := map[netip.Addr]bool{}
	for _, h := range held {
		current[h.Addr] = true
		if lists(answer, h.Addr) {
			if j.forget(h.Addr) {
				changes = append(changes, Change{h, Back})
			}
			continue
		}
		if j.lost[h.Addr] {
			continue
		}
		first, doubted := j.since[h.Addr]
		if !doubted {
			j.since[h.Addr] = now
			changes = append(changes, Change{h, Doubted})
		} else if now.Sub(first) >= After {
			delete(j.since, h.Addr)
			j.lost[h.Addr] = true
			changes = append(changes, Change{h, Lost})
			continue
		}
		out = keep(out, known, h)
	}
	// What nobody holds any more is EC2's to take.
	gone := func(a netip.Addr) bool { return !current[a] }
	maps.DeleteFunc(j.since, func(a netip.Addr, _ time.Time) bool { return gone(a) })
	maps.DeleteFunc(j.lost, func(a netip.Addr, _ bool) bool { return gone(a) })
	return out, changes
}

func (j *Judge) forget(a netip.Addr) bool {
	_, doubted := j.since[a]
	known := doubted || j.lost[a]
	delete(j.since, a)
	delete(j.lost, a)
	return known
}

// Next is when to ask again, zero when there is no doubt.
func (j *Judge) Next() time.Time {
	var next time.Time
	for _, first := range j.since {
		if at := first.Add(After); next.IsZero() || at.Before(next) {
			next = at
		}
	}
	return next
}

// Doubts are the addresses that may be lost or are, with the reason. They are
// to be withheld from other pods.
func (j *Judge) Doubts() map[netip.Addr]string {
	out := map[netip.Addr]string{}
	for a := range j.since {
		out[a] = "not listed by EC2; it is asked again"
	}
	for a := range j.lost {
		out[a] = "not listed by EC2 twice: delete its pod, so that it gets another address"
	}
	return out
}

// Missing are the ENIs of held addresses that the answer does not have.
func Missing(answer []eni.ENI, held []pool.Allocation) []string {
	var out []string
	for _, h := range held {
		same := func(e eni.ENI) bool { return e.ID == h.ENI }
		if h.ENI != "" && !slices.ContainsFunc(answer, same) && !slices.Contains(out, h.ENI) {
			out = append(out, h.ENI)
		}
	}
	slices.Sort(out)
	return out
}

func lists(enis []eni.ENI, a netip.Addr) bool {
	return slices.ContainsFunc(enis, func(e eni.ENI) bool { return has(e, a) })
}

func has(e eni.ENI, a netip.Addr) bool {
	return slices.Contains(e.Addresses, a) || prefixOf(e, a).IsValid()
}

// prefixOf is the delegated prefix of the ENI with the address, or the zero one.
func prefixOf(e eni.ENI, a netip.Addr) netip.Prefix {
	for _, p := range e.Prefixes {
		if p.Contains(a) {
			return p
		}
	}
	return netip.Prefix{}
}

// keep puts the address back on its ENI, and the ENI back if it is gone: with
// what pods hold and nothing else. An address of a prefix is kept alone: the
// others of a prefix that may be gone are given to nobody.
func keep(enis, known []eni.ENI, h pool.Allocation) []eni.ENI {
	i := slices.IndexFunc(enis, func(e eni.ENI) bool { return e.ID == h.ENI })
	if i < 0 {
		k := slices.IndexFunc(known, func(e eni.ENI) bool { return e.ID == h.ENI })
		if k < 0 {
			return enis
		}
		e := known[k]
		e.Addresses, e.Prefixes, e.Missing = nil, nil, true
		enis, i = append(enis, e), len(enis)
	}
	enis[i].Addresses = append(slices.Clone(enis[i].Addresses), h.Addr)
	return enis
}
