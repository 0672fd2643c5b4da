package trunking

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/branch"
	"github.com/vpcchain/vpcchain/daemon/internal/eni"
)

// maker makes branches itself, for the security groups that a pod asks for.
type maker struct{ m *Manager }

// waiter is an Assign that found no branch. got has room for one, so that who
// serves it never waits.
type waiter struct {
	kind   branch.Kind
	holder branch.Holder
	got    chan outcome
}

type outcome struct {
	branch branch.Branch
	err    error
}

// Assign takes a warm branch, or waits in the order of arrival until one is made.
func (k maker) Assign(ctx context.Context, h branch.Holder, w branch.Wish) (branch.Branch, error) {
	m := k.m
	place, err := m.node.BranchPlace(ctx)
	if err != nil {
		return branch.Branch{}, fmt.Errorf("%w: %w", ErrNoBranch, err)
	}
	wait := &waiter{kind: branch.KindOf(place.SubnetID, w.Groups), holder: h, got: make(chan outcome, 1)}
	if err := m.queue(wait); err != nil {
		return branch.Branch{}, err
	}
	m.node.BranchesChanged()
	select {
	case out := <-wait.got:
		return out.branch, out.err
	case <-ctx.Done():
		return m.giveUp(wait)
	}
}

// queue serves the waiter at once or lets it wait.
func (m *Manager) queue(w *waiter) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	if m.book.Limit() == 0 {
		return fmt.Errorf("%w: the instance type carries no trunk ENI: run the pod on another node", ErrNoBranch)
	}
	// What EC2 has refused a moment ago it would refuse again.
	if p := m.kinds[w.kind]; p.early(now) && errors.Is(p.last, eni.ErrBadGroups) {
		return p.last
	}
	m.book.Want(w.kind, now)
	m.waiters = append(m.waiters, w)
	m.serve(now)
	m.poke()
	return nil
}

// serve hands warm branches to those who wait, first come first served among
// those of a kind; the caller holds the lock.
func (m *Manager) serve(now time.Time) {
	if m.trunk.ID == "" {
		m.need.Make = m.need.Make || len(m.waiters) > 0
		return
	}
	if !m.trunk.Ready {
		return
	}
	m.waiters = slices.DeleteFunc(m.waiters, func(w *waiter) bool {
		// A plugin asks again when its connection breaks: the same attachment may wait twice.
		if r, ok := m.book.Held(w.holder.Attachment); ok {
			w.got <- outcome{branch: r, err: sameKind(r, w.kind)}
			return true
		}
		h := w.holder
		h.Since = now
		r, ok := m.book.Take(h, w.kind)
		if !ok {
			return false
		}
		if err := m.store.PutBranches(r); err != nil {
			m.book.Undo(r.Key)
			w.got <- outcome{err: fmt.Errorf("%w: %w", ErrNotRecorded, err)}
			return true
		}
		w.got <- outcome{branch: r}
		return true
	})
}

// refuse ends the waiting of those whose groups EC2 does not take; the caller
// holds the lock.
func (m *Manager) refuse(k branch.Kind, err error) {
	m.waiters = slices.DeleteFunc(m.waiters, func(w *waiter) bool {
		if w.kind == k {
			w.got <- outcome{err: err}
		}
		return w.kind == k
	})
}

// giveUp takes a waiter out of the queue and says why it waited in vain, unless
// it got its answer at the last moment.
func (m *Manager) giveUp(w *waiter) (branch.Branch, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.waiters = slices.DeleteFunc(m.waiters, func(o *waiter) bool { return o == w })
	select {
	case out := <-w.got:
		return out.branch, out.err
	default:
	}
	return branch.Branch{}, fmt.Errorf("%w with %s: %s", ErrNoBranch, w.kind.Groups, m.shortage(w.kind, time.Now()))
}

// shortage says why there is no branch of the kind; the caller holds the lock.
func (m *Manager) shortage(k branch.Kind, now time.Time) string {
	n := map[branch.State]int{}
	all := m.book.All()
	for _, r := range all {
		n[m.book.StateAt(r, now)]++
	}
	counts := fmt.Sprintf("%d of %d branch ENIs: %d in use, %d resting after use, %d being made, %d being deleted",
		len(all), m.book.Limit(), n[branch.InUse], n[branch.Cooling], n[branch.Making], n[branch.Going])
	switch p := m.kinds[k]; {
	case !m.trunk.Ready:
		return m.trunk.Reason
	case p != nil && p.last != nil:
		return counts + "; making one fails: " + p.last.Error()
	case m.look.last != nil:
		return counts + "; asking EC2 fails: " + m.look.last.Error()
	case len(all) >= m.book.Limit():
		return counts + "; that is all the instance type may have: move pods to another node"
	}
	for _, r := range all {
		if p := m.keys[r.Key]; p != nil && p.last != nil && r.Kind == k {
			return counts + "; " + p.last.Error()
		}
	}
	return counts + "; EC2 has not answered yet"
}

// Release lets the branch rest, for the next pod with its security groups.
func (k maker) Release(r branch.Branch, _ time.Time) {
	if now, ok := k.m.book.Get(r.Key); ok {
		k.m.save(now)
	}
}
