package engine

import (
	"context"
	"errors"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
)

// looking is the need to ask EC2 what the ENIs have. It lasts until an answer
// came, whatever fails meanwhile, and has a backoff of its own: while Describe
// alone fails the pool goes on growing.
type looking struct {
	backoff
	stale   bool // the pool may differ from EC2
	running bool
	again   time.Time // when a second answer is due to confirm the first; zero: none
}

// lookLimit bounds a Describe, which no action overlaps: growing waits for it.
const lookLimit = 30 * time.Second

// due tells that no action may begin before EC2 was asked. An answer that is as
// old as an action would undo in the pool what the action did.
func (l *looking) due(now time.Time) bool {
	return !l.until.After(now) && (l.stale || !l.again.IsZero() && !l.again.After(now))
}

// wait is how long until a look that is not due yet, or at most the time given.
func (l *looking) wait(now time.Time, most time.Duration) time.Duration {
	for _, at := range []time.Time{l.again, l.until} {
		if (l.stale || !l.again.IsZero()) && at.After(now) {
			most = min(most, at.Sub(now))
		}
	}
	return most
}

// lookIfDue asks EC2 as soon as no action is under way; the caller holds the lock.
func (e *Engine) lookIfDue(ctx context.Context, now time.Time) {
	if e.look.running || !e.look.due(now) || len(e.inFlight) > 0 {
		return
	}
	e.look.running = true
	e.actions.Go(func() {
		lctx, cancel := context.WithTimeout(ctx, lookLimit)
		defer cancel()
		enis, err := e.ENIs.Describe(lctx)
		e.mu.Lock()
		failures, relist := e.look.failures, false
		if err == nil {
			e.vanished(enis, time.Now())
			e.looked(enis, time.Now())
			relist = e.relists(time.Now())
			e.look.running, e.look.failures = true, failures
		}
		e.mu.Unlock()
		if err == nil {
			e.poke() // the pool is right, and may grow while the rest is settled
			if relist {
				e.intents.Relist(lctx)
			}
			err = e.intents.Settle(lctx, enis)
		}
		e.mu.Lock()
		e.lookEnds(ctx, err)
		e.mu.Unlock()
		e.poke()
	})
}

// lookEnds books how a look went; the caller holds the lock.
func (e *Engine) lookEnds(ctx context.Context, err error) {
	e.look.running = false
	if err == nil {
		e.look.failures = 0
	} else if ctx.Err() == nil || !errors.Is(err, context.Canceled) {
		e.look.stale = true
		wait := e.look.failed(err, time.Now())
		e.Log.Warn("asking EC2 what the ENIs have", "error", err, "again_in", wait)
	}
}

// looked takes EC2's word for what the ENIs have; the caller holds the lock.
func (e *Engine) looked(enis []eni.ENI, now time.Time) {
	before := e.pool.Snapshot(now).Total()
	e.look = looking{}
	e.believe(enis, now)
	// Addresses that turned up explain the limit: growing goes on with them in mind.
	if isA(e.backoff.last, eni.ErrAddressLimit) && e.pool.Snapshot(now).Total() > before {
		e.backoff.succeeded()
	}
	e.serveWaiters(now)
}
