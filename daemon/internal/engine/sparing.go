package engine

import (
	"math/rand/v2"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/decide"
	"github.com/vpcchain/vpcchain/daemon/internal/pool"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// Where EC2 refuses calls for their rate, the tokens that one node spends are
// missing on another: the buckets are the account's.

// While calls are refused a node asks for what its pods wait for and for nothing
// else: its warm pool may be another node's first address. After the first refusal
// that lasts 1 to 3 minutes, then twice as long each time.
const (
	firstSparing = 2 * time.Minute
	lastSparing  = 16 * time.Minute
)

// sparing is the time in which no call serves the warm pool alone.
type sparing struct {
	refusals int // one after the other
	until    time.Time
}

func (s *sparing) refused(now time.Time) {
	if s.until.After(now) {
		return
	}
	d := min(firstSparing<<min(s.refusals, 10), lastSparing)
	s.refusals++
	s.until = now.Add(d/2 + rand.N(d)) //nolint:gosec // jitter
}

// ended is told of a call that EC2 carried out.
func (s *sparing) ended(now time.Time) {
	if !s.until.After(now) {
		*s = sparing{}
	}
}

// spare leaves out what only the warm pool wants while calls are refused, and
// while pods wait: in a cluster that starts or grows as a whole theirs come first
// everywhere. An ENI or prefixes that pods wait for come in the size that the
// settings want: it is the same call. The caller holds the lock.
func (e *Engine) spare(in decide.Input, actions []decide.Action, now time.Time) []decide.Action {
	if len(e.waiters) == 0 && !e.sparing.until.After(now) {
		return actions
	}
	// What a cordoned node does: pods that ask, and nothing ready, but for the one
	// address without which no pod would be sent here.
	in.Cordoned, in.Demand = true, in.Demand+1
	creates, assigns := 0, map[string]bool{}
	for _, a := range e.places.without(in, func(b *backoff) bool { return b.until.After(now) }) {
		switch a.Kind {
		case decide.Create:
			creates++
		case decide.Assign:
			assigns[a.ENI] = true
		}
	}
	var out []decide.Action
	for _, a := range actions {
		switch a.Kind {
		case decide.Create:
			if creates--; creates < 0 {
				continue
			}
		case decide.Assign:
			if !assigns[a.ENI] {
				continue
			}
		}
		out = append(out, a)
	}
	return out
}

// comesBack is how long a pod whose ADD ended without an address counts as one
// that will ask again. The kubelet does so 10 to 15 s later (its backOffPeriod
// with jitter), with a new sandbox.
const comesBack = 30 * time.Second

// asker is a pod by its name, or an attachment without one.
type asker struct {
	podName
	vpcnet.Attachment
}

func askerOf(a vpcnet.Attachment, p pool.Pod) asker {
	if p.Name == "" {
		return asker{Attachment: a}
	}
	return asker{podName: nameOf(p)}
}

// leavers are pods that were sent away, and when: without them the pool would
// grow for less than is wanted whenever the last ADD has just given up.
type leavers map[asker]time.Time

// count is how many are expected, but for those that asked knows.
func (l leavers) count(asked map[podName]bool, now time.Time) int {
	n := 0
	for who, at := range l {
		switch {
		case now.Sub(at) > comesBack:
			delete(l, who)
		case who.podName == podName{} || !asked[who.podName]:
			asked[who.podName] = true
			n++
		}
	}
	return n
}
