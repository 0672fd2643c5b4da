package engine

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/branch"
	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/daemon/internal/pool"
	"github.com/vpcchain/vpcchain/pkg/spool"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// waiter is an Assign that found no address. got has room for one, so that who
// serves it never waits.
type waiter struct {
	attachment vpcnet.Attachment
	pod        pool.Pod
	got        chan pool.Allocation
}

// Assigned is the answer of Assign.
type Assigned struct {
	pool.Allocation
	ENI eni.ENI
	MTU int // of the ENI's link, bytes
}

// Assign gives the attachment an address, the same again if it holds one. With
// none free it waits in the order of arrival until ctx ends. The allocation is
// on disk and its routing rule in the kernel before it returns.
func (e *Engine) Assign(ctx context.Context, a vpcnet.Attachment, pod pool.Pod) (Assigned, error) {
	if err := e.enter(a); err != nil {
		return Assigned{}, err
	}
	began := time.Now()
	out, err := e.assign(ctx, a, pod)
	e.leave(a, err == nil)
	e.tellFailure(pod, err)
	e.logAdd(ctx, a, pod, out.Allocation, began, err)
	return out, err
}

func (e *Engine) assign(ctx context.Context, a vpcnet.Attachment, pod pool.Pod) (Assigned, error) {
	if b, ok := e.hasBranch(a); ok {
		return Assigned{}, fmt.Errorf("%w: %s has the branch ENI %s already, and now asks for an address of the pool: DEL it first", branch.ErrBadWish, a, b.ENI)
	}
	h, err := e.allocate(ctx, a, pod)
	if err != nil {
		return Assigned{}, err
	}
	out, err := e.finish(h)
	if err == nil && ctx.Err() != nil {
		err = fmt.Errorf("assigning to %s: %w", a, ctx.Err())
	}
	return out, err
}

// asking is the Assign calls of one attachment that are under way: a plugin asks
// again when its connection breaks, and the call that failed must not take back
// what the other one answered.
type asking struct {
	calls    int
	answered bool
}

func (e *Engine) enter(a vpcnet.Attachment) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	// A release that was spooled for an earlier life of this attachment is void
	// now. Under the lock, lest a replay that has read it carries it out later.
	if _, err := spool.Drop(e.spoolDir(), a); err != nil {
		return err
	}
	c := e.asking[a]
	if c == nil {
		c = &asking{answered: e.holds(a)}
		e.asking[a] = c
	}
	c.calls++
	return nil
}

// leave ends a call. If it was the last of its attachment and none was answered,
// nobody learns of the address: it must not stay assigned.
func (e *Engine) leave(a vpcnet.Attachment, answered bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := e.asking[a]
	c.calls--
	c.answered = c.answered || answered
	if c.calls > 0 {
		return
	}
	delete(e.asking, a)
	if c.answered {
		return
	}
	if _, err := e.releaseOne(a); err != nil {
		e.Log.Warn("taking back an address", "attachment", a.String(), "error", err)
	}
}

// allocate takes an address from the pool, now or when there is one.
func (e *Engine) allocate(ctx context.Context, a vpcnet.Attachment, pod pool.Pod) (pool.Allocation, error) {
	e.mu.Lock()
	now := time.Now()
	h, ok := e.pool.Held(a)
	// Who comes later queues behind those who wait already.
	if !ok && len(e.waiters) == 0 {
		var err error
		if h, ok, err = e.take(a, pod, now); err != nil {
			e.mu.Unlock()
			e.poke() // for the status
			return pool.Allocation{}, err
		}
	}
	if ok {
		e.mu.Unlock()
		e.poke()
		return h, nil
	}
	delete(e.leavers, askerOf(a, pod))
	w := &waiter{attachment: a, pod: pod, got: make(chan pool.Allocation, 1)}
	e.waiters = append(e.waiters, w)
	e.sizing.burst.joined(now)
	ended := e.wait(ctx, "address", place(len(e.waiters)))
	e.mu.Unlock()
	e.poke()
	select {
	case h := <-w.got:
		ended(nil)
		return h, nil
	case <-ctx.Done():
		h, err := e.giveUp(w)
		ended(err)
		return h, err
	}
}

// take gives the attachment a free address, on disk too, or the one that it
// holds; the caller holds the lock.
func (e *Engine) take(a vpcnet.Attachment, pod pool.Pod, now time.Time) (pool.Allocation, bool, error) {
	if h, ok := e.pool.Held(a); ok {
		return h, true, nil // recorded long ago: nothing that fails now may undo it
	}
	h, ok := e.pool.Assign(a, pod, now)
	if !ok {
		return pool.Allocation{}, false, nil
	}
	if e.record = e.Store.Hold(h); e.record != nil {
		e.pool.Undo(h)
		return pool.Allocation{}, false, fmt.Errorf("%w: %w", ErrNotRecorded, e.record)
	}
	return h, true, nil
}

// giveUp takes a waiter out of the queue and says why it waited in vain. What
// it got at the last moment is nobody's; Assign takes it back.
func (e *Engine) giveUp(w *waiter) (pool.Allocation, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.waiters = slices.DeleteFunc(e.waiters, func(o *waiter) bool { return o == w })
	e.tally.NoAddress++
	e.leavers[askerOf(w.attachment, w.pod)] = time.Now()
	return pool.Allocation{}, fmt.Errorf("%w for %s: %s", ErrNoAddress, w.attachment, e.shortage())
}

// serveWaiters hands free addresses to those who wait, first come first served;
// the caller holds the lock.
func (e *Engine) serveWaiters(now time.Time) {
	for len(e.waiters) > 0 {
		w := e.waiters[0]
		h, ok, err := e.take(w.attachment, w.pod, now)
		if err != nil {
			e.Log.Error("recording an allocation", "error", err)
		}
		if !ok {
			return
		}
		e.waiters = e.waiters[1:]
		w.got <- h
	}
}

// finish puts the routing rule in place and completes the answer.
func (e *Engine) finish(h pool.Allocation) (Assigned, error) {
	e.mu.Lock()
	m, ok := e.pool.ENI(h.ENI)
	mtu := e.links[h.ENI].MTU
	e.mu.Unlock()
	if !ok {
		return Assigned{}, fmt.Errorf("%s of %s lies on %s, which is gone", h.Addr, h.Attachment, h.ENI)
	}
	if err := e.Host.EnsureFrom(source(m, h.Addr), vpcnet.ENITable(m.Card, m.Device)); err != nil {
		return Assigned{}, err
	}
	if mtu == 0 {
		mtu = e.Config.ENIMTU
	}
	return Assigned{h, m, mtu}, nil
}

// Release frees the attachment's address; holding none is a success. An admin
// may rename the network between ADD and DEL: a container has one interface of
// a name, so the other two parts of the attachment find the address too.
func (e *Engine) Release(a vpcnet.Attachment) (pool.Allocation, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.release(a)
}

// release is Release under the caller's lock.
func (e *Engine) release(a vpcnet.Attachment) (pool.Allocation, error) {
	return e.releaseOne(e.named(a))
}

// releaseOne frees exactly this attachment's address; the caller holds the lock.
func (e *Engine) releaseOne(a vpcnet.Attachment) (pool.Allocation, error) {
	h, ok := e.pool.Held(a)
	if !ok {
		return e.releaseBranch(a), nil
	}
	now := time.Now()
	if err := e.Store.Release(now, h); err != nil {
		return pool.Allocation{}, err
	}
	e.pool.Release(a, now)
	e.released = append(e.released, h.Addr)
	e.logRelease(h)
	e.poke()
	return h, nil
}

// Collect releases every attachment of the network that is not valid.
func (e *Engine) Collect(network string, valid []vpcnet.Attachment) (int, error) {
	keep := map[vpcnet.Attachment]bool{}
	for _, a := range valid {
		keep[a] = true
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	n := 0
	for _, h := range append(e.pool.Allocations(), e.branchAllocations()...) {
		a := h.Attachment
		if a.Network != network || keep[a] {
			continue
		}
		if _, err := e.releaseOne(a); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// Check verifies that the attachment holds the address and that its ENI works.
func (e *Engine) Check(a vpcnet.Attachment, addr string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if b, ok := e.hasBranch(a); ok {
		return e.checkBranch(b, a, addr)
	}
	h, ok := e.pool.Held(a)
	if !ok {
		return fmt.Errorf("%s %w", a, ErrUnknown)
	}
	if h.Addr.String() != addr {
		return fmt.Errorf("%s holds %s, not %s", a, h.Addr, addr)
	}
	if _, ok := e.pool.ENI(h.ENI); !ok {
		return fmt.Errorf("%s holds %s of %s, which is not attached", a, addr, h.ENI)
	}
	if l := e.links[h.ENI]; !l.Ready {
		return fmt.Errorf("%s holds %s of %s, which is not ready: %s", a, addr, h.ENI, l.Reason)
	}
	return nil
}
