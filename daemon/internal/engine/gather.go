package engine

import (
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/decide"
)

// A runtime starts the pods of a burst within milliseconds of one another. Growing
// waits until no ADD has come for gatherQuiet, and no longer than gatherMost after
// the first one, so that EC2 is asked once for all of them: its fastest call takes
// ten times as long as that, and a call for each pod would be the price. ADDs that
// waited for the daemon to start come back within 50 ms, vpc-ipam's pause between
// two attempts.
const (
	gatherQuiet = 10 * time.Millisecond
	gatherMost  = 50 * time.Millisecond
	gatherStart = 60 * time.Millisecond
)

// gathering is when the ADDs that came to wait since EC2 was last asked for
// addresses are all that there are: at quiet, or at most in any case.
type gathering struct{ quiet, most time.Time }

// start expects those that have waited for the daemon.
func (g *gathering) start(now time.Time) {
	g.quiet, g.most = now.Add(gatherStart), now.Add(gatherStart)
}

func (g *gathering) joined(now time.Time) {
	if now.After(g.most) {
		g.quiet, g.most = now, now.Add(gatherMost)
	}
	if q := now.Add(gatherQuiet); q.After(g.quiet) {
		g.quiet = q
	}
}

// until is how long to wait for more of them.
func (g gathering) until(now time.Time) time.Duration {
	return min(g.quiet.Sub(now), g.most.Sub(now))
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
