package trunking

import (
	"math/rand/v2"
	"time"
)

// pause spaces attempts after failures: 1 s doubled up to a minute, with jitter
// so that the nodes of a cluster do not come back together.
type pause struct {
	failures int
	until    time.Time
	last     error
}

const (
	firstPause = time.Second
	lastPause  = time.Minute
)

func (p *pause) failed(err error, now time.Time) time.Duration {
	d := min(firstPause<<min(p.failures, 10), lastPause)
	d = d/2 + rand.N(d) //nolint:gosec // jitter
	p.failures++
	p.until, p.last = now.Add(d), err
	return d
}

// early tells that it is not yet time for another attempt.
func (p *pause) early(now time.Time) bool { return p != nil && p.until.After(now) }

// over tells that the failure is long past: nobody tries any more.
func (p *pause) over(now time.Time) bool { return now.Sub(p.until) > lastPause }
