package engine

import (
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/decide"
)

// A runtime starts the pods of a burst within milliseconds of one another. Growing
// waits until no ADD has come for gatherQuiet, and no longer than gatherMost after
// the first one, so that EC2 is asked once for all of them: its fastest call takes
// ten times as long as that, and a call for each pod would be the price.
const (
	gatherQuiet = 10 * time.Millisecond
	gatherMost  = 50 * time.Millisecond
)

// gathering is the ADDs that have come to wait since EC2 was last asked for
// addresses.
type gathering struct{ first, last time.Time }

func (g *gathering) joined(now time.Time) {
	if g.first.IsZero() || now.Sub(g.last) > gatherMost {
		g.first = now
	}
	g.last = now
}

// until is how long to wait for more of them.
func (g gathering) until(now time.Time) time.Duration {
	if g.first.IsZero() || g.first.After(now) { // or the clock jumped back
		return 0
	}
	return min(g.last.Add(gatherQuiet).Sub(now), g.first.Add(gatherMost).Sub(now))
}

// enlarge gives a Create that is about to call EC2 the size that is right by now,
// and books it so.
func (e *Engine) enlarge(id int, a decide.Action) decide.Action {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, booked := e.inFlight[id]; !booked {
		return a
	}
	a = decide.Enlarge(e.input(time.Now()), a)
	e.inFlight[id] = a
	return a
}
