package engine

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/daemon/internal/orphans"
	"github.com/vpcchain/vpcchain/daemon/internal/pool"
	"github.com/vpcchain/vpcchain/daemon/internal/rebuild"
)

// Recovery finds what the books lack: see package rebuild.
type Recovery interface {
	Recover(ctx context.Context, enis []eni.ENI, known []pool.Allocation) (rebuild.Plan, error)
	Seen(ctx context.Context) (map[netip.Addr]bool, error)
}

// Orphans finds attachments without a pod: see package orphans.
type Orphans interface {
	Find(ctx context.Context, held []pool.Allocation, now time.Time) ([]pool.Allocation, error)
	// Judge looks once, for an operator who asks now.
	Judge(ctx context.Context, held []pool.Allocation, now time.Time) (orphans.Verdicts, error)
}

// ErrNotRecorded is an Assign whose allocation cannot be written down: a restart
// would give its address to another pod.
var ErrNotRecorded = errors.New("the allocation cannot be recorded")

// recover takes up what the books lack, before the kernel is made as they say.
func (e *Engine) recover(ctx context.Context) error {
	if e.Recovery == nil {
		return nil
	}
	e.mu.Lock()
	var enis []eni.ENI
	for _, m := range e.pool.Snapshot(time.Now()).ENIs {
		enis = append(enis, m.ENI)
	}
	known := e.pool.Allocations()
	if e.branches != nil {
		known = append(known, e.branches.Held()...) // their addresses lie in the ENIs' subnets too
	}
	e.mu.Unlock()
	plan, err := e.Recovery.Recover(ctx, enis, known)
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.pool.Restore(plan.Held, nil); err != nil {
		return err
	}
	for _, a := range plan.Rested {
		e.pool.Rest(a, time.Now())
	}
	e.doubts.kernel = plan.Withheld
	e.withhold()
	return nil
}

// sweepEvery is how often abandoned attachments are looked for, at most.
const sweepEvery = 30 * time.Second

// sweep gives up what nobody uses any more, until ctx ends.
func (e *Engine) sweep(ctx context.Context) {
	interval := sweepEvery
	if g := e.Config.OrphanGrace; g > 0 {
		interval = min(interval, g/2)
	}
	every(ctx, interval, func() {
		e.mu.Lock()
		held := append(e.pool.Allocations(), e.branchAllocations()...)
		// A runtime that heeds STATUS sends no ADD that could find the disk good again.
		e.record = nil
		if err := e.Store.Release(time.Now()); err != nil { // what a full disk did not take
			e.Log.Warn("recording releases", "error", err)
		}
		e.mu.Unlock()
		e.releaseOrphans(ctx, held)
		e.reviewWithheld(ctx)
		if e.branches != nil {
			e.branches.Review(ctx)
		}
	})
}

// releaseOrphans releases attachments whose pod is gone.
func (e *Engine) releaseOrphans(ctx context.Context, held []pool.Allocation) {
	if e.Orphans == nil {
		return
	}
	gone, err := e.Orphans.Find(ctx, held, time.Now())
	if err != nil && ctx.Err() == nil {
		e.Log.Warn("looking for abandoned attachments", "error", err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, o := range gone {
		_ = e.releaseOrphan(o) // what failed is found again
	}
}

// releaseOrphan releases an attachment if it is still the one that was found; the
// caller holds the lock.
func (e *Engine) releaseOrphan(o pool.Allocation) error {
	h, ok := e.allocation(o.Attachment)
	if !ok || !h.Since.Equal(o.Since) || e.asking[o.Attachment] != nil {
		return errMeanwhile
	}
	if _, err := e.releaseOne(o.Attachment); err != nil {
		e.Log.Warn("releasing an abandoned attachment", "attachment", o.Attachment.String(), "error", err)
		return err
	}
	e.tally.Orphans++
	e.Log.Warn("released: its interface and network namespace are gone, and no DEL came", "attachment", o.Attachment.String(),
		"address", h.Addr, "namespace", h.Pod.Namespace, "pod", h.Pod.Name)
	return nil
}

// reviewWithheld lets go of addresses that the kernel does not use any more.
func (e *Engine) reviewWithheld(ctx context.Context) {
	e.mu.Lock()
	n := len(e.doubts.kernel)
	e.mu.Unlock()
	if n == 0 || e.Recovery == nil {
		return
	}
	seen, err := e.Recovery.Seen(ctx)
	if err != nil {
		if ctx.Err() == nil {
			e.Log.Warn("looking at withheld addresses", "error", err)
		}
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for a := range e.doubts.kernel {
		if !seen[a] {
			delete(e.doubts.kernel, a)
			e.pool.Rest(a, time.Now())
			e.Log.Info("an address is not withheld any more: its pod is gone", "address", a)
		}
	}
	e.withhold()
	e.poke()
}
