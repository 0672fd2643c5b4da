package engine

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/decide"
	"github.com/vpcchain/vpcchain/daemon/internal/eni"
)

// actionLimit bounds an action: EC2 takes seconds for each of its calls.
const actionLimit = 3 * time.Minute

func isA(err, target error) bool { return errors.Is(err, target) }

// start carries an action out beside the loop.
func (e *Engine) start(ctx context.Context, a decide.Action) {
	e.mu.Lock()
	e.serial++
	id := e.serial
	e.inFlight[id] = a
	e.mu.Unlock()
	e.actions.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, actionLimit)
		defer cancel()
		begin := time.Now()
		err := e.do(ctx, a)
		e.mu.Lock()
		delete(e.inFlight, id)
		e.look.stale = e.look.stale || err != nil && leavesDoubt(a, err)
		if err == nil {
			e.backoff.succeeded()
			e.serveWaiters(time.Now())
		} else if ctx.Err() == nil || !errors.Is(err, context.Canceled) {
			wait := e.failed(err, time.Now())
			e.Log.Warn(a.String(), "error", err, "again_in", wait)
		}
		e.mu.Unlock()
		if err == nil {
			e.Log.Info(a.String(), "took", time.Since(begin))
		}
		e.poke()
	})
}

func (e *Engine) do(ctx context.Context, a decide.Action) error {
	if err := ctx.Err(); err != nil {
		return err // the daemon stops
	}
	switch a.Kind {
	case decide.Assign:
		return e.assignTo(ctx, a)
	case decide.Create:
		return e.createENI(ctx, a.Count)
	case decide.Unassign:
		return e.unassign(ctx, a)
	default:
		return e.removeENI(ctx, a.ENI)
	}
}

func (e *Engine) assignTo(ctx context.Context, a decide.Action) error {
	addrs, err := e.Addresses.Assign(ctx, a.ENI, a.Count)
	if isA(err, eni.ErrSubnetFull) && a.Count > 1 {
		addrs, err = e.Addresses.Assign(ctx, a.ENI, 1)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	m, _ := e.pool.ENI(a.ENI)
	if err != nil {
		return inSubnet(m.SubnetID, err)
	}
	e.places.succeeded(m.SubnetID)
	e.pool.AddAddresses(a.ENI, addrs)
	return nil
}

// grace is how long what an action has begun may go on when the daemon stops.
const grace = 10 * time.Second

// outlive is a context that ends grace after the given one.
func outlive(ctx context.Context) (context.Context, context.CancelFunc) {
	late, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })
	return late, func() { stop(); cancel() }
}

// createENI makes an ENI and attaches it. What it made it removes again when a
// later step fails. A call that is cancelled may be applied all the same, so the
// calls are heard out when the daemon stops. An ENI that is attached by then is
// finished, which takes less than to undo it; the next daemon finds it.
func (e *Engine) createENI(ctx context.Context, count int) (err error) {
	place, err := e.place(ctx)
	if err != nil {
		return err
	}
	device := e.takeDevice()
	defer e.giveDevice(device)
	late, cancel := outlive(ctx)
	defer cancel()
	made, err := e.ENIs.Create(late, eni.CreateSpec{
		SubnetID: place.SubnetID, Groups: place.Groups, Addresses: room(place, count), Description: "aws-K8S-" + e.node.InstanceID,
		ClientToken: rand.Text(), Tags: e.tags(time.Now()),
	})
	err = notThere(place.SubnetID, err)
	attachment := ""
	defer func() {
		if err != nil && made.ID != "" { // beside an id an error says that the ENI exists
			err = errors.Join(err, e.undo(ctx, made.ID, attachment))
		}
	}()
	if err = errors.Join(err, ctx.Err()); err != nil {
		return err
	}
	if attachment, err = e.ENIs.Attach(late, made.ID, 0, device); err != nil {
		return err
	}
	if err = e.ENIs.DeleteWithInstance(late, made.ID, attachment); err != nil {
		return err
	}
	made.Card, made.Device, made.AttachmentID, made.DeleteOnTermination = 0, device, attachment, true
	e.mu.Lock()
	defer e.mu.Unlock()
	e.pool.AddENI(made, time.Now())
	e.places.succeeded(place.SubnetID)
	return nil
}

// undo removes what createENI made, also when the daemon stops: nobody else knows of it.
func (e *Engine) undo(ctx context.Context, id, attachment string) error {
	late, cancel := outlive(ctx)
	defer cancel()
	err := e.discard(late, id, attachment)
	if err != nil && ctx.Err() != nil {
		// The action's own error is that of the stop, which is not reported.
		e.Log.Error("an ENI is left over in EC2", "eni", id, "error", err)
	}
	return err
}

func (e *Engine) discard(ctx context.Context, id, attachment string) error {
	if attachment != "" {
		if err := e.Remover.Detach(ctx, attachment); err != nil {
			return fmt.Errorf("undoing: %w", err)
		}
	}
	if err := e.Remover.Delete(ctx, id); err != nil {
		return fmt.Errorf("undoing: %w", err)
	}
	return nil
}

// takeDevice reserves the lowest device index that no ENI has or will have.
func (e *Engine) takeDevice() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	used := map[int]bool{}
	for _, m := range e.pool.Snapshot(time.Now()).ENIs {
		used[m.Device] = true
	}
	device := 1
	for used[device] || e.devices[device] {
		device++
	}
	e.devices[device] = true
	return device
}

func (e *Engine) giveDevice(device int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.devices, device)
}

// unassign gives addresses back. After a failure they stay out of the pool: EC2
// may have taken them, and those that it has not come back when it was asked.
func (e *Engine) unassign(ctx context.Context, a decide.Action) error {
	e.mu.Lock()
	addrs := e.pool.TakeAddresses(a.ENI, a.Addrs)
	e.mu.Unlock()
	if len(addrs) == 0 {
		return nil
	}
	return e.Addresses.Unassign(ctx, a.ENI, addrs)
}

func (e *Engine) removeENI(ctx context.Context, id string) error {
	e.mu.Lock()
	gone, ok := e.pool.TakeENI(id)
	e.mu.Unlock()
	if !ok {
		return nil // somebody uses it by now
	}
	return e.discard(ctx, gone.ID, gone.AttachmentID)
}
