package ec2

import (
	"maps"
	"reflect"
	"slices"
	"time"
)

// history is what Describe* shows while EC2 is eventually consistent: each ENI
// as it was, from when on. It is empty while the region answers with the present.
type history struct {
	of map[string][]version // by ENI id
}

type version struct {
	at    time.Time
	fresh bool    // the ENI was just made
	x     *xmlENI // nil: it is gone
}

// begin starts with the present, or forgets everything if no delay is in force.
func (h *history) begin(s *Sim) {
	if s.topo.NewENIDelay == 0 && s.topo.ChangeDelay == 0 {
		h.of = nil
		return
	}
	if h.of != nil {
		return
	}
	h.of = map[string][]version{}
	for id, e := range s.enis {
		x := s.xmlENI(e)
		h.of[id] = []version{{x: &x}}
	}
}

// record notes what is different now; the caller holds the model's lock.
func (h *history) record(s *Sim, now time.Time) {
	if h.of == nil {
		return
	}
	for id, e := range s.enis {
		x, old := s.xmlENI(e), h.of[id]
		if len(old) == 0 {
			h.of[id] = []version{{now, true, &x}}
		} else if !reflect.DeepEqual(old[len(old)-1].x, &x) {
			h.of[id] = append(old, version{now, false, &x})
		}
	}
	for id, old := range h.of {
		if s.enis[id] == nil && old[len(old)-1].x != nil {
			h.of[id] = append(old, version{at: now})
		}
	}
}

// shown lists the ENIs as Describe* shows them now: of those that are given, or,
// while it shows the past, of all there are and were.
func (s *Sim) shown(now time.Time, enis []*eni) []xmlENI {
	var out []xmlENI
	if s.past.of == nil {
		for _, e := range enis {
			out = append(out, s.xmlENI(e))
		}
		return out
	}
	for _, id := range slices.Sorted(maps.Keys(s.past.of)) {
		if x := s.past.view(s, id, now); x != nil {
			out = append(out, *x)
		}
	}
	return out
}

// view is the latest version that is old enough; those before it are dropped.
func (h *history) view(s *Sim, id string, now time.Time) *xmlENI {
	all := h.of[id]
	for i, v := range slices.Backward(all) {
		wait := s.delay(s.topo.ChangeDelay)
		if v.fresh {
			wait = s.delay(s.topo.NewENIDelay)
		}
		if now.Sub(v.at) < wait {
			continue
		}
		if h.of[id] = all[i:]; v.x == nil && i == len(all)-1 {
			delete(h.of, id)
		}
		return v.x
	}
	return nil
}

// unknown tells that no call knows the ENI yet.
func (s *Sim) unknown(e *eni, now time.Time) bool {
	return !e.made.IsZero() && now.Sub(e.made) < s.delay(s.topo.NewENIDelay)
}
