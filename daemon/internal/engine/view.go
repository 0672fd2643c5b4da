package engine

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/decide"
	"github.com/vpcchain/vpcchain/daemon/internal/hostnet"
	"github.com/vpcchain/vpcchain/daemon/internal/pool"
	"github.com/vpcchain/vpcchain/daemon/internal/trunking"
)

// State is what STATUS tells.
type State int

// Serving, serving with something wrong, or not serving.
const (
	OK State = iota
	Limited
	Unavailable
)

// Status is whether an Assign would be served now.
type Status struct {
	State  State
	Reason string
}

// Status answers without a lock: it is asked every few seconds while pods start.
func (e *Engine) Status() Status { return *e.status.Load() }

func (e *Engine) updateStatus() {
	e.mu.Lock()
	s := e.judge(time.Now())
	e.mu.Unlock()
	e.status.Store(&s)
}

// judge is the status now; the caller holds the lock.
func (e *Engine) judge(now time.Time) Status {
	usable := 0
	for _, m := range e.pool.Snapshot(now).ENIs {
		if m.Ready {
			usable += m.Count(pool.Free)
		}
	}
	wrong := append(e.lost(e.pool.Snapshot(now)), e.degraded...)
	for _, err := range []error{e.record, e.unwritten, e.Store.Trouble()} {
		if err != nil {
			wrong = append(wrong, err.Error())
		}
	}
	for _, b := range []backoff{e.backoff, e.look.backoff, e.groups} {
		if b.last != nil {
			wrong = append(wrong, b.reason())
		}
	}
	wrong = append(wrong, e.places.reasons()...)
	if e.branches != nil {
		wrong = append(wrong, e.branches.Trouble()...)
	}
	switch {
	case usable == 0 && e.stuck(now):
		return Status{Unavailable, "no free address: " + e.shortage()}
	case len(wrong) > 0:
		return Status{Limited, strings.Join(wrong, "; ")}
	}
	return Status{OK, ""}
}

// stuck tells that no address will come by itself soon: EC2 fails, or the
// instance has all that it may have and none rests. More addresses on an ENI
// that is not ready help nobody.
func (e *Engine) stuck(now time.Time) bool {
	ready := map[string]bool{}
	for _, m := range e.pool.Snapshot(now).ENIs {
		ready[m.ID] = m.Ready
	}
	helps := func(a decide.Action) bool { return a.Kind == decide.Create || ready[a.ENI] }
	if e.backoff.last != nil {
		return true // also while it is tried again
	}
	if slices.ContainsFunc(e.decideNow(now), helps) {
		return false
	}
	return len(e.places.reasons()) > 0 || len(e.inFlight) == 0 && e.pool.NextAvailable(now).IsZero()
}

func (e *Engine) decideNow(now time.Time) []decide.Action {
	in := e.input(now)
	in.InFlight, in.Waiters = nil, max(len(e.waiters), 1)
	return e.places.without(in, func(b *backoff) bool { return b.last != nil })
}

// shortage says why there is no address, and what to do; the caller holds the lock.
func (e *Engine) shortage() string {
	now := time.Now()
	s := e.pool.Snapshot(now)
	counts := fmt.Sprintf("%d ENIs with %d addresses: %d used, %d resting after use", len(s.ENIs), s.Total(), s.Count(pool.Used), s.Count(pool.Cooling))
	var unready []string
	for _, m := range s.ENIs {
		if free := m.Count(pool.Free); free > 0 && !m.Ready {
			unready = append(unready, fmt.Sprintf("%d free ones on %s, which is not ready: %s", free, m.ID, m.Reason))
		}
	}
	if drained := slices.Sorted(maps.Keys(e.drains(s))); len(drained) > 0 {
		counts += fmt.Sprintf("; those of %s are for nobody, as it is drained: vpcctl drain-eni %s --cancel changes that", strings.Join(drained, ", "), drained[0])
	}
	if len(unready) > 0 {
		counts += "; " + strings.Join(unready, "; ")
	}
	reasons := e.places.reasons()
	switch {
	case e.record != nil:
		return counts + "; " + ErrNotRecorded.Error() + ": " + e.record.Error()
	case e.backoff.last != nil:
		return counts + "; growing fails: " + e.backoff.reason()
	case len(reasons) > 0:
		return counts + "; growing fails: " + strings.Join(reasons, "; ")
	case len(e.inFlight) > 0:
		return counts + "; the pool is growing: " + strings.Join(e.plan, ", ")
	case len(unready) == 0 && len(e.decideNow(now)) == 0 && s.Count(pool.Cooling) == 0:
		return counts + fmt.Sprintf("; that is all a %s may have (or MAX_ENI, or MAX_PODS): move pods to another node", e.node.InstanceType)
	}
	return counts
}

// View is everything that the operator's command line shows.
type View struct {
	Pool    pool.Snapshot
	Links   map[string]hostnet.Link
	Plan    []string
	Waiters int
	Demand  int              // pods that Kubernetes has sent here, and that have not asked yet
	Drains  map[string]Drain // of the ENIs, by id
	Leaving []string         // drained ENIs that the pool has given up and EC2 not yet
	// Branches are the branch ENIs; nil where the daemon gives none.
	Branches *trunking.View
}

// View copies the state.
func (e *Engine) View() View {
	e.mu.Lock()
	defer e.mu.Unlock()
	v := View{Pool: e.pool.Snapshot(time.Now()), Links: map[string]hostnet.Link{}, Plan: append([]string(nil), e.plan...), Waiters: len(e.waiters), Demand: e.demand()}
	maps.Copy(v.Links, e.links)
	v.Drains, v.Leaving = e.drains(v.Pool), e.leaving()
	if e.branches != nil {
		b := e.branches.View()
		v.Branches = &b
	}
	return v
}
