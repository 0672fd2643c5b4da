package trunking

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/branch"
	"github.com/vpcchain/vpcchain/daemon/internal/eni"
)

const (
	slowTick = 30 * time.Second // the loop runs at least so often
	// actionLimit bounds an action: EC2 takes seconds for each of its calls.
	actionLimit = time.Minute
)

// Run is the loop; it returns when ctx ends and the actions have.
func (m *Manager) Run(ctx context.Context) error {
	for {
		m.once(ctx, time.Now())
		timer := time.NewTimer(m.next(time.Now()))
		select {
		case <-ctx.Done():
			timer.Stop()
			m.actions.Wait()
			return nil
		case <-m.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// once serves, decides and acts.
func (m *Manager) once(ctx context.Context, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if ctx.Err() != nil {
		return
	}
	m.flush(now)
	m.serve(now)
	maps.DeleteFunc(m.kinds, func(_ branch.Kind, p *pause) bool { return p.over(now) })
	if m.lookDue(now) {
		if len(m.busy) == 0 && !m.looking {
			m.looking = true
			m.actions.Go(func() { m.ask(ctx) })
		}
		return // an answer that is as old as an action would undo in the books what the action did
	}
	if m.looking || m.fresh && m.trunk.ID != "" {
		return // nothing is known of the trunk's VLAN ids until EC2 was heard once
	}
	waiting := make([]branch.Kind, 0, len(m.waiters))
	for _, w := range m.waiters {
		waiting = append(waiting, w.kind)
	}
	for _, a := range m.book.Decide(waiting, now) {
		m.begin(ctx, a, now)
	}
}

// lookDue tells that EC2 is to be asked before anything else; the caller holds the lock.
func (m *Manager) lookDue(now time.Time) bool {
	if m.look.early(now) || m.trunk.ID == "" && len(m.book.All()) == 0 {
		return false
	}
	again := m.book.Again()
	return m.stale || m.book.Unsettled(now) || !again.IsZero() && !again.After(now)
}

// next is how long the loop may sleep.
func (m *Manager) next(now time.Time) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	wait := slowTick
	sooner := func(t time.Time) {
		if t.After(now) {
			wait = min(wait, t.Sub(now))
		}
	}
	sooner(m.book.Next(now))
	sooner(m.look.until)
	for _, p := range m.kinds {
		sooner(p.until)
	}
	for _, p := range m.keys {
		sooner(p.until)
	}
	return max(wait, time.Millisecond)
}

// begin starts an action if it is time for it; the caller holds the lock.
func (m *Manager) begin(ctx context.Context, a branch.Action, now time.Time) {
	switch a.Verb {
	case branch.Make:
		a.Key = m.make(a.Kind, now)
	case branch.Retire:
		a.Key = m.retire(a.Key)
	case branch.Go:
	}
	r, ok := m.book.Get(a.Key)
	if !ok {
		return
	}
	early := m.keys[r.Key].early(now) || r.Step == branch.Creating && m.kinds[r.Kind].early(now)
	if m.busy[r.Key] || early || r.Step == branch.Leaving && r.Association == "" {
		return
	}
	m.busy[r.Key] = true
	m.actions.Go(func() { m.carry(ctx, r.Key) })
}

// make writes down that a branch of the kind is to be made, and gives its key, ""
// if it is not; the caller holds the lock.
func (m *Manager) make(k branch.Kind, now time.Time) string {
	if m.trunk.ID == "" || m.kinds[k].early(now) {
		return ""
	}
	r, err := m.book.Begin(rand.Text(), k, m.trunk.ID, m.node.BranchSpec(now), now)
	if err == nil {
		if err = m.store.PutBranches(r); err != nil {
			m.book.Forget(r.Key)
		}
	}
	if err != nil {
		m.stale = m.stale || errors.Is(err, branch.ErrNoVLAN) // those of others may have gone
		m.pauseKind(k, err, now)
		return ""
	}
	return r.Key
}

// retire writes down that a branch is to end, or gives "": the next daemon would
// give to a pod what this one has ended. The caller holds the lock.
func (m *Manager) retire(key string) string {
	r, _ := m.book.Get(key)
	r.Step = branch.Leaving
	if err := m.store.PutBranches(r); err != nil {
		m.unwritten(err)
		return ""
	}
	m.book.Put(r)
	return key
}

func (m *Manager) pauseKind(k branch.Kind, err error, now time.Time) {
	p := m.kinds[k]
	if p == nil {
		p = &pause{}
		m.kinds[k] = p
	}
	if !p.early(now) { // once for all that met it together
		m.log.Warn("making a branch ENI", "kind", k.String(), "error", err, "again_in", p.failed(err, now))
	}
	p.last = err
}

// ask takes EC2's word for what there is.
func (m *Manager) ask(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, slowTick)
	defer cancel()
	m.mu.Lock()
	fresh := m.fresh
	m.mu.Unlock()
	var traces *branch.Traces
	err := error(nil)
	if fresh {
		traces = &branch.Traces{}
		*traces, err = m.node.Traces(ctx)
	}
	var seen branch.Seen
	if err == nil {
		seen.Branches, seen.Associations, err = m.ec2.Branches(ctx)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.looking = false
	m.poke()
	now := time.Now()
	if err != nil {
		m.stale = true
		if !errors.Is(err, context.Canceled) {
			m.log.Warn("asking EC2 about branch ENIs", "error", err, "again_in", m.look.failed(err, now))
		}
		return
	}
	m.stale, m.look = false, pause{}
	m.hear(seen, traces, now)
}

// hear takes an answer into the books; the caller holds the lock.
func (m *Manager) hear(seen branch.Seen, traces *branch.Traces, now time.Time) {
	heard := m.book.Hear(seen, traces, m.trunk.ID, now)
	for _, n := range heard.Notes {
		m.log.Warn("branch ENIs", "what", n)
	}
	for _, r := range heard.Changed {
		delete(m.keys, r.Key)
	}
	m.drop(now, heard.Gone...)
	m.save(heard.Changed...)
	if m.fresh && len(m.dirty) == 0 && !heard.Unnamed {
		// What is written by then is there for the next daemon, too.
		err := m.store.BranchesComplete()
		if m.fresh = err != nil; err != nil {
			m.unwritten(err)
		}
	}
	m.serve(now)
	if m.stale = heard.Unnamed || m.fresh; m.stale || m.book.Unsettled(now) {
		m.look.failed(fmt.Errorf("EC2 does not say yet how a call went: %w", eni.ErrNoAnswer), now)
	}
}
