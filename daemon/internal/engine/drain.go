package engine

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/confirm"
	"github.com/vpcchain/vpcchain/daemon/internal/pool"
)

// Drains keeps which ENIs an operator drains.
type Drains interface {
	Draining() (map[string]time.Time, error)
	Drain(id string, at time.Time) error
	Undrain(id string) error
}

// ErrNoDrain is an ENI that cannot be drained, ErrNoENI one that the node does not have.
var (
	ErrNoDrain = errors.New("it cannot be drained")
	ErrNoENI   = errors.New("the node has no such ENI")
)

// Drain is an ENI on its way out.
type Drain struct {
	Since time.Time
	Pods  int    // that have an address of it
	Waits string // for what
}

// Drain keeps new pods off the ENI from now on: its free addresses count for
// nothing, the pool grows elsewhere, and the ENI goes when its last pod has. It is
// on disk before it is answered. With cancel all is as before. Either is a success
// if it is so already.
func (e *Engine) Drain(id string, cancel bool) (Drain, bool, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	_, draining := e.draining[id]
	switch {
	case cancel && draining:
		if err := e.Drains.Undrain(id); err != nil {
			return Drain{}, true, err
		}
		e.undrained(id)
		e.Log.Info("an ENI is not drained any more", "eni", id)
	case cancel:
	case !draining:
		if err := e.drainable(id, now); err != nil {
			return Drain{}, false, err
		}
		if err := e.Drains.Drain(id, now); err != nil {
			return Drain{}, false, err
		}
		e.draining[id] = mark{since: now}
		e.pool.Drain(id, true)
		e.Log.Info("an ENI is drained", "eni", id)
	}
	e.poke()
	d, ok := e.drains(e.pool.Snapshot(now))[id]
	return d, ok, nil
}

// drainable says why an ENI cannot be drained; the caller holds the lock.
func (e *Engine) drainable(id string, now time.Time) error {
	s := e.pool.Snapshot(now)
	i := slices.IndexFunc(s.ENIs, func(m pool.ENI) bool { return m.ID == id })
	if i < 0 {
		var have []string
		for _, m := range s.ENIs {
			have = append(have, m.ID)
		}
		return fmt.Errorf("%s: %w; it has %s", id, ErrNoENI, strings.Join(have, ", "))
	}
	switch m := s.ENIs[i]; {
	case e.Drains == nil:
		return fmt.Errorf("%s: %w: this daemon keeps no state", id, ErrNoDrain)
	case m.IsPrimary():
		return fmt.Errorf("%s: %w: it is the primary ENI, which EC2 detaches only with the instance; drain the node instead", id, ErrNoDrain)
	case e.isTrunk(m.ENI):
		return fmt.Errorf("%s: %w: it is the trunk, whose branch ENIs would go with it; drain the node instead", id, ErrNoDrain)
	case m.Reserved:
		return fmt.Errorf("%s: %w: %s", id, ErrNoDrain, m.Reason)
	}
	return nil
}

// loadDrains takes up what the daemon before was told.
func (e *Engine) loadDrains() error {
	if e.Drains == nil {
		return nil
	}
	draining, err := e.Drains.Draining()
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for id, at := range draining {
		e.draining[id] = mark{since: at}
		e.pool.Drain(id, true)
	}
	return nil
}

// mark is that of an ENI that is drained.
type mark struct {
	since  time.Time
	absent time.Time // since when the ENI is not the pool's; zero: it is
}

// forgetDrains forgets ENIs that are gone. One that EC2 would not let go is the
// pool's again a moment later, and still drained: see Keeper.Settle. The caller
// holds the lock.
func (e *Engine) forgetDrains(now time.Time) {
	for id, m := range e.draining {
		_, there := e.pool.ENI(id)
		switch {
		case there || slices.Contains(e.intents.Leaving(), id):
			m.absent = time.Time{}
		case m.absent.IsZero():
			m.absent = now
		case now.Sub(m.absent) >= 2*confirm.After:
			e.drainEnds(id)
			continue
		}
		e.draining[id] = m
	}
}

// drainEnds forgets an ENI that is gone; the caller holds the lock. What a full
// disk keeps of it does no harm: ids do not come again.
func (e *Engine) drainEnds(id string) {
	if _, drained := e.draining[id]; !drained {
		return
	}
	if err := e.Drains.Undrain(id); err != nil {
		e.Log.Warn("an ENI that was drained is gone", "eni", id, "error", err)
	}
	e.undrained(id)
}

func (e *Engine) undrained(id string) {
	delete(e.draining, id)
	e.pool.Drain(id, false)
}

// drains says of each ENI that is being drained what it waits for; the caller
// holds the lock.
func (e *Engine) drains(s pool.Snapshot) map[string]Drain {
	out := map[string]Drain{}
	for _, m := range s.ENIs {
		if !m.Draining {
			continue
		}
		d := Drain{Since: e.draining[m.ID].since, Pods: m.Count(pool.Used), Waits: "nothing: it is detached and deleted next"}
		rest, doubt := m.Count(pool.Cooling), m.Count(pool.Withheld)
		switch {
		case d.Pods > 0:
			d.Waits = fmt.Sprintf("%d pods to go", d.Pods)
		case rest > 0:
			d.Waits = fmt.Sprintf("%d addresses to rest after use", rest)
		case doubt > 0:
			d.Waits = fmt.Sprintf("%d addresses in doubt", doubt)
		case e.backoff.last != nil:
			d.Waits = "EC2, which is tried again: " + e.backoff.reason()
		}
		if limit := e.mostENIs(); d.Pods > 0 && len(s.ENIs) >= limit {
			d.Waits += fmt.Sprintf("; %d ENIs are all that the node may have, so none grows in its place meanwhile", limit)
		}
		out[m.ID] = d
	}
	return out
}

// leaving are drained ENIs that are not the pool's any more, and EC2's still, for
// all that is known; the caller holds the lock.
func (e *Engine) leaving() []string {
	var out []string
	for _, id := range slices.Sorted(maps.Keys(e.draining)) {
		if _, there := e.pool.ENI(id); !there {
			out = append(out, id)
		}
	}
	return out
}

// mostENIs is how many the pool may have, by the type and MAX_ENI; the caller holds the lock.
func (e *Engine) mostENIs() int {
	if n := e.Config.MaxENI; n > 0 {
		return min(n, e.limits.ENIs)
	}
	return e.limits.ENIs
}
