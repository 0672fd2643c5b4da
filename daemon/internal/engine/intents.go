package engine

import (
	"context"
	"errors"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/decide"
	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/daemon/internal/intent"
)

// grace is how long what an action has begun may go on when the daemon stops.
const grace = intent.Grace

// createENI makes an ENI and attaches it; id is what the action is booked under.
func (e *Engine) createENI(ctx context.Context, id int, a decide.Action) error {
	place, err := e.place(ctx)
	if err != nil {
		return err
	}
	device := e.takeDevice()
	defer e.giveDevice(device)
	a = e.enlarge(id, a)
	addrs, prefixes := e.contents(place, a)
	made, err := e.makeENI(ctx, place, addrs, prefixes, device)
	if refused, ok := errors.AsType[*intent.CreateError](err); ok && prefixes > 0 && isA(refused, eni.ErrSubnetFull) {
		// Single addresses at once: what is missing is a block, not room.
		e.noBlock(place.SubnetID, refused)
		if a.Instead == 0 {
			return nil
		}
		addrs, prefixes = e.contents(place, a)
		made, err = e.makeENI(ctx, place, addrs, prefixes, device)
	}
	if refused, ok := errors.AsType[*intent.CreateError](err); ok {
		return notThere(place.SubnetID, refused)
	}
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.pool.AddENI(made, time.Now())
	e.places.succeeded(place.SubnetID)
	if len(made.Prefixes) > 0 {
		delete(e.sizing.fragmented, place.SubnetID)
	}
	return nil
}

func (e *Engine) makeENI(ctx context.Context, p eni.Placement, addrs, prefixes, device int) (eni.ENI, error) {
	return e.intents.Make(ctx, eni.CreateSpec{
		SubnetID: p.SubnetID, Groups: p.Groups, Addresses: addrs, Prefixes: prefixes, Description: "aws-K8S-" + e.node.InstanceID,
		Tags: e.tags(time.Now()),
	}, 0, device)
}

func (e *Engine) removeENI(ctx context.Context, id string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	e.mu.Lock()
	gone, ok := e.pool.TakeENI(id)
	e.mu.Unlock()
	if !ok {
		return nil // somebody uses it by now
	}
	err := e.intents.Remove(ctx, gone)
	if err == nil {
		e.mu.Lock()
		e.drainEnds(id)
		e.mu.Unlock()
	}
	return err
}

// limitsNow are the instance's limits less what ENIs take that the pool gave up
// and EC2 still detaches; the caller holds the lock.
func (e *Engine) limitsNow() eni.Limits {
	l := e.limits
	for _, id := range e.intents.Leaving() {
		if _, there := e.pool.ENI(id); !there {
			l.ENIs--
		}
	}
	return l
}

// leavesDoubt tells that after the failure only EC2 knows what the ENIs have.
// Unassign and Remove took from the pool what EC2 may have kept or not; a call
// without an answer may have been applied; at the address limit an ENI has more
// than the pool knows, and one that is not there is the pool's no more.
func (e *Engine) leavesDoubt(a decide.Action, err error) bool {
	return a.Kind == decide.Unassign || a.Kind == decide.Remove || e.intents.Unsettled() || isA(err, eni.ErrNoAnswer) ||
		a.Kind == decide.Assign && (isA(err, eni.ErrAddressLimit) || isA(err, eni.ErrNotFound))
}

// takeUp settles what the daemon before began, given what Start has found. If
// EC2 did not answer then, the next look does it.
func (e *Engine) takeUp(ctx context.Context) {
	e.mu.Lock()
	skip := e.look.stale
	e.look.running = !skip
	var attached []eni.ENI
	for _, m := range e.pool.Snapshot(time.Now()).ENIs {
		attached = append(attached, m.ENI)
	}
	e.mu.Unlock()
	if skip {
		return
	}
	err := e.intents.Settle(ctx, attached)
	e.mu.Lock()
	e.lookEnds(ctx, err)
	e.mu.Unlock()
	e.poke()
}

// tidy deletes spare ENIs that nobody wanted; the caller holds the lock.
func (e *Engine) tidy(ctx context.Context, now time.Time) {
	if ctx.Err() != nil || !e.intents.Idle(now) || e.look.until.After(now) {
		return
	}
	e.actions.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, actionLimit)
		defer cancel()
		if err := e.intents.Tidy(ctx); err != nil && ctx.Err() == nil {
			e.Log.Warn("deleting spare ENIs", "error", err)
			e.mu.Lock()
			e.look.stale = true
			e.mu.Unlock()
		}
	})
}
