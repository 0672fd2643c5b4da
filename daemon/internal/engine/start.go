package engine

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/pkg/spool"
)

// Start finds out who the node is, takes up the allocations of before, makes
// the kernel right and writes the node facts. After it requests can be served.
// It tries again until ctx ends: IMDS and EC2 may come up later than the node.
func (e *Engine) Start(ctx context.Context) error {
	e.Addresses = recorded{e.Addresses, e.intents}
	held, err := e.load()
	if err != nil {
		return err
	}
	var retry backoff
	for {
		err := e.discover(ctx)
		if err == nil {
			break
		}
		if ctx.Err() != nil && retry.last != nil {
			err = retry.last // what kept it from starting; the attempt that ctx broke off tells nothing
		}
		wait := retry.failed(err, time.Now())
		e.Log.Warn("discovering the node; trying again", "error", err, "in", wait)
		e.status.Store(&Status{State: Unavailable, Reason: "vpc-ipamd is starting: " + err.Error()})
		select {
		case <-ctx.Done():
			return fmt.Errorf("discovering the node: %w", err)
		case <-time.After(wait):
		}
	}
	if err := e.intents.Load(e.node.InstanceID); err != nil {
		return err
	}
	e.dropReturned(time.Now())
	if err := e.startBranches(); err != nil {
		return err
	}
	if err := e.recover(ctx); err != nil {
		return err
	}
	if err := e.syncHost(ctx); err != nil {
		return fmt.Errorf("setting up the node's network: %w", err)
	}
	if err := e.writeFacts(); err != nil {
		if !diskFull(err) {
			return err
		}
		// Pods that end free space; meanwhile the plugins have the facts of before, and STATUS tells.
		e.Log.Warn("starting without new node facts", "error", err)
	}
	e.sweepHalves(time.Now())
	e.replaySpool()
	e.updateStatus()
	e.Log.Info("ready", "instance", e.node.InstanceID, "type", e.node.InstanceType, "primary", e.node.PrimaryIP, "held", held)
	return nil
}

// load takes up what the daemon before had on disk, and says how much is held.
func (e *Engine) load() (held int, err error) {
	allocations, freed, err := e.Store.Load()
	if err != nil {
		return 0, err
	}
	if err := e.pool.Restore(allocations, freed); err != nil {
		return 0, err
	}
	for a := range freed {
		e.released = append(e.released, a) // whoever released it may not have come to this
	}
	return len(allocations), e.loadDrains()
}

func (e *Engine) discover(ctx context.Context) error {
	node, err := e.Metadata.Node(ctx)
	if err != nil {
		return err
	}
	limits, err := e.Metadata.Limits(ctx, node.InstanceType)
	if err != nil {
		return err
	}
	var look looking
	enis, err := e.ENIs.Describe(ctx)
	if err != nil {
		// IMDS knows the addresses too: a node whose EC2 access fails goes on serving what it has.
		e.Log.Warn("describing the ENIs in EC2; IMDS must do", "error", err)
		look.stale = true
		look.failed(err, time.Now())
		if enis, err = e.Metadata.ENIs(ctx); err != nil {
			return err
		}
	}
	if !slices.ContainsFunc(enis, eni.ENI.IsPrimary) {
		return fmt.Errorf("the instance has no primary ENI among %d", len(enis))
	}
	if err := e.allThere(enis, time.Now()); err != nil {
		return err
	}
	e.node, e.limits = node, limits
	e.mu.Lock()
	defer e.mu.Unlock()
	e.look = look
	e.measure()
	e.believe(enis, time.Now())
	return nil
}

// replaySpool carries out the releases that plugins could not deliver. It keeps
// the lock from reading them to the last: an Assign in between would begin a new
// life of its attachment, and lose the address to the release of the one before.
func (e *Engine) replaySpool() {
	e.mu.Lock()
	defer e.mu.Unlock()
	list, err := spool.List(e.spoolDir())
	if err != nil {
		e.Log.Warn("reading the spool", "error", err)
	}
	for _, a := range list {
		if _, err := e.release(a); err != nil {
			e.Log.Warn("replaying a release", "attachment", a.String(), "error", err)
			continue
		}
		if _, err := spool.Drop(e.spoolDir(), a); err != nil {
			e.Log.Warn("replaying a release", "attachment", a.String(), "error", err)
		}
	}
}
