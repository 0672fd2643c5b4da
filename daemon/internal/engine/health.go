package engine

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// loopLimit is how long the loop may be without having ended a round. It rests
// slowTick at most, and a round is a comparison with the kernel: seconds on a
// node with hundreds of pods.
const loopLimit = 3 * time.Minute

// pulse is when the loop last ended a round. It is read without the engine's
// lock, which a loop that is stuck may hold.
type pulse struct {
	at     atomic.Pointer[time.Time]
	rounds atomic.Uint64
}

func (p *pulse) beat(now time.Time) {
	p.at.Store(&now)
	p.rounds.Add(1)
}

// Alive fails when the loop has ended no round for 3 minutes: something in it
// waits for ever, and only a new start helps.
func (e *Engine) Alive() error {
	last := e.pulse.at.Load()
	if last == nil {
		return nil // it has not begun; Start is bounded by itself
	}
	if since := time.Since(*last); since > loopLimit {
		return fmt.Errorf("the loop has not ended a round for %s: start vpc-ipamd anew, and keep its log and the stacks that SIGQUIT prints", since.Round(time.Second))
	}
	return nil
}

// Ready is Status as an answer of yes or no: the error is why the next pod would
// get no address, the text what is wrong while pods are served.
func (e *Engine) Ready() (text string, err error) {
	s := e.Status()
	if s.State == Unavailable {
		return "", errors.New(s.Reason)
	}
	return s.Reason, nil
}
