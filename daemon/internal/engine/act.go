package engine

import (
	"context"
	"errors"
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
		ctx, ended := e.work(ctx, a.Kind.String(), a.String())
		err := e.do(ctx, id, a)
		ended(err)
		e.mu.Lock()
		delete(e.inFlight, id)
		e.tally.Actions[Ended{a.Kind.String(), err != nil}]++
		e.look.stale = e.look.stale || err != nil && e.leavesDoubt(a, err)
		if err == nil {
			if a.Kind != decide.Trunk {
				e.succeeded(time.Now())
			}
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

func (e *Engine) do(ctx context.Context, id int, a decide.Action) error {
	if err := ctx.Err(); err != nil {
		return err // the daemon stops
	}
	switch a.Kind {
	case decide.Assign:
		if a.Prefixes > 0 {
			return e.assignPrefixes(ctx, a)
		}
		return e.assignTo(ctx, a)
	case decide.Create:
		return e.createENI(ctx, id, a)
	case decide.Unassign:
		if len(a.Blocks) > 0 {
			return e.unassignPrefixes(ctx, a)
		}
		return e.unassign(ctx, a)
	case decide.Trunk:
		return e.makeTrunk(ctx)
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

// takeDevice reserves the lowest device index that no ENI has or will have.
func (e *Engine) takeDevice() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	used := map[int]bool{}
	for _, m := range e.pool.Snapshot(time.Now()).ENIs {
		used[m.Device] = true
	}
	device := 1
	for used[device] || e.devices[device] || e.intents.Takes(0, device) {
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
