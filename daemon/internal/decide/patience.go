package decide

import (
	"hash/fnv"
	"time"
)

// lasting is how long a surplus must have lasted before it goes back, at least:
// the stock CNI's interval of scaling down. Jitter is added to it.
const (
	lasting = 30 * time.Second
	jitter  = 30 * time.Second
)

// Patience lets a surplus last before it is given back, so that pods that come
// again soon find it. Every node has a time of its own, or all that a workload
// has left would call EC2 together.
type Patience struct {
	wait  time.Duration
	since time.Time // when the surplus began; zero: there is none
}

// NewPatience is that of a node.
func NewPatience(node string) *Patience {
	h := fnv.New64a()
	_, _ = h.Write([]byte(node))
	return &Patience{wait: lasting + time.Duration(h.Sum64()%uint64(jitter))}
}

// Lasted is told whether there is a surplus now, and tells whether there was one
// all the time.
func (p *Patience) Lasted(surplus bool, now time.Time) bool {
	if !surplus {
		p.since = time.Time{}
		return false
	}
	if p.since.IsZero() || p.since.After(now) { // or the clock jumped back
		p.since = now
	}
	return now.Sub(p.since) >= p.wait
}

// Ends is when a surplus that is there now will have lasted; zero if there is none.
func (p *Patience) Ends() time.Time {
	if p.since.IsZero() {
		return time.Time{}
	}
	return p.since.Add(p.wait)
}
