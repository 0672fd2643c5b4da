package soak

import (
	"slices"
	"strings"
	"testing"
)

func lines(texts []string) string { return "  " + strings.Join(texts, "\n  ") }

// attempts bounds the search: each is a run.
const attempts = 60

// shorten drops events while the schedule still fails: large parts first, then
// smaller ones, down to single events.
func shorten(t *testing.T, s schedule) (schedule, []string) {
	t.Helper()
	fails := func(s schedule) []string {
		wrong, _ := run(t, s, &tally{})
		return wrong
	}
	return shortenBy(s, fails)
}

func shortenBy(s schedule, fails func(schedule) []string) (schedule, []string) {
	wrong, left := fails(s), attempts
	if len(wrong) == 0 {
		return s, []string{"nothing, when it ran again: the order of goroutines decides"}
	}
	for size := len(s.events) / 2; size > 0 && left > 0; size /= 2 {
		for at := 0; at < len(s.events) && left > 0; {
			c := s
			c.events = slices.Delete(slices.Clone(s.events), at, min(at+size, len(s.events)))
			left--
			if w := fails(c); len(w) > 0 {
				s, wrong = c, w
			} else {
				at += size
			}
		}
	}
	return s, wrong
}

// Two events of a hundred are to blame; they are what is left.
func TestShorten(t *testing.T) {
	s := schedule{}
	for i := range 40 {
		s.events = append(s.events, event{what: add, pod: i})
	}
	has := func(s schedule, pod int) bool {
		return slices.ContainsFunc(s.events, func(e event) bool { return e.pod == pod })
	}
	short, wrong := shortenBy(s, func(s schedule) []string {
		if has(s, 7) && has(s, 31) {
			return []string{"wrong"}
		}
		return nil
	})
	if len(short.events) != 2 || !has(short, 7) || !has(short, 31) || len(wrong) != 1 {
		t.Errorf("shortened to\n%s", short)
	}
}
