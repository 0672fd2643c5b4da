package intent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
)

const (
	// tokenLife is how long EC2 surely knows a ClientToken. After it a create
	// that was applied is long visible to a Describe.
	tokenLife = 30 * time.Minute
	// SpareLife is how long an ENI lies spare before it is deleted, by default.
	SpareLife = 2 * time.Minute
	// unseen is how long EC2 may not know an ENI that it has just made.
	unseen = 30 * time.Second
)

// reach adds to the intent what EC2 answered. A disk that fails now takes nothing
// away: the token of the create that is recorded leads to the ENI.
func (k *Keeper) reach(en *entry, change func(*Intent)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	change(&en.Intent)
	if err := k.store.Intend(en.Intent); err != nil {
		k.log.Warn("recording an intent", "intent", en.String(), "error", err)
	}
}

// done clears the intent.
func (k *Keeper) done(en *entry) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.open, en.ID)
	if err := k.store.Done(en.ID); err != nil {
		// What it is about is as it should be: the next Settle finds it so.
		k.log.Warn("clearing an intent", "intent", en.String(), "error", err)
	}
}

// leave lets go of an intent that is not done.
func (k *Keeper) leave(en *entry) {
	k.mu.Lock()
	defer k.mu.Unlock()
	en.busy = false
}

// hold keeps others from making ENIs until it is undone or ctx ends: what is
// listed or settled meanwhile may be the ENI that they want.
func (k *Keeper) hold(ctx context.Context) (free func(), err error) {
	select {
	case k.listing <- struct{}{}:
		return sync.OnceFunc(func() { <-k.listing }), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// list asks EC2 once which ENIs of this instance lie spare, when nobody settles
// what was begun.
func (k *Keeper) list(ctx context.Context) error {
	free, err := k.hold(ctx)
	if err != nil {
		return err
	}
	defer free()
	return k.listHeld(ctx)
}

func (k *Keeper) listHeld(ctx context.Context) error {
	if k.listed {
		return nil
	}
	_, err := k.look(ctx)
	k.listed = err == nil
	return err
}

// Relist makes the next Settle ask EC2 again which ENIs lie spare: one that
// somebody detached is attached to nothing, and no intent speaks of it.
func (k *Keeper) Relist(ctx context.Context) {
	select {
	case k.listing <- struct{}{}:
		k.listed = false
		<-k.listing
	case <-ctx.Done():
	}
}

// look asks EC2 which ENIs of this instance are attached to nothing, and adopts
// those that no intent speaks of: of a daemon whose state was lost.
func (k *Keeper) look(ctx context.Context) (map[string]eni.ENI, error) {
	found, err := k.maker.Available(ctx, k.self)
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	known, unnamed := map[string]bool{}, false
	for _, en := range k.open {
		known[en.ENI] = true
		unnamed = unnamed || en.ENI == ""
	}
	out := map[string]eni.ENI{}
	for _, e := range found {
		out[e.ID] = e
		// One that is being created, or was, may be there already, without our knowing its id.
		if known[e.ID] || unnamed || kept(e) || e.Type == eni.TypeBranch {
			continue // a branch is its trunk's
		}
		in := Intent{ID: "found-" + e.ID, Kind: Create, Step: Attaching, ENI: e.ID, Time: time.Now()}
		k.open[in.ID] = &entry{Intent: in, spare: &e, since: time.Now()}
		k.log.Info("found an ENI of this instance that is attached to nothing", "eni", e.ID)
	}
	return out, nil
}

// Settle finishes or undoes what is open, given the ENIs that EC2 says are
// attached now. After an error some of it is open still.
func (k *Keeper) Settle(ctx context.Context, attached []eni.ENI) error {
	here := map[string]eni.ENI{}
	for _, e := range attached {
		here[e.ID] = e
	}
	free, err := k.hold(ctx)
	if err != nil {
		return err
	}
	defer free()
	errs := []error{k.listHeld(ctx), k.mark(ctx, attached)}
	mine := k.takeOpen()
	if len(mine) == 0 {
		return errors.Join(errs...)
	}
	available, err := k.look(ctx)
	errs = append(errs, err)
	for _, en := range mine {
		if en.Kind == Remove {
			free() // it gives no ENI, and may take long
		}
		switch {
		case err != nil || ctx.Err() != nil:
			k.leave(en)
		default:
			what := en.String()
			if err := k.settle(ctx, en, here, available); err != nil {
				errs = append(errs, fmt.Errorf("settling what was begun (%s): %w", what, err))
			}
		}
	}
	return errors.Join(errs...)
}

// takeOpen takes what nobody carries out, what makes an ENI before what ends one.
func (k *Keeper) takeOpen() []*entry {
	k.mu.Lock()
	defer k.mu.Unlock()
	var out []*entry
	for _, en := range k.open {
		if !en.busy && en.spare == nil {
			en.busy = true
			out = append(out, en)
		}
	}
	slices.SortFunc(out, func(a, b *entry) int { return cmp.Compare(a.Kind, b.Kind) })
	return out
}

// mark makes sure that ENIs of the daemon's end with the instance: an intent may
// have been lost with the state, or cleared too early.
func (k *Keeper) mark(ctx context.Context, attached []eni.ENI) error {
	var errs []error
	for _, e := range attached {
		if e.IsPrimary() || e.DeleteOnTermination || e.AttachmentID == "" || kept(e) {
			continue
		}
		if e.Tags[eni.TagInstance] == k.self[eni.TagInstance] {
			errs = append(errs, k.maker.DeleteWithInstance(ctx, e.ID, e.AttachmentID))
		}
	}
	return errors.Join(errs...)
}

// settle ends one intent, or makes a spare ENI of it.
func (k *Keeper) settle(ctx context.Context, en *entry, here, available map[string]eni.ENI) error {
	found, spare := available[en.ENI]
	if en.ENI == "" && time.Since(en.Time) < tokenLife {
		made, err := k.create(ctx, en)
		switch {
		case made.ID != "":
			k.reach(en, func(in *Intent) { in.Step, in.ENI = Attaching, made.ID })
			found, spare = made, true
		case doubtful(err) || errors.Is(err, eni.ErrThrottled):
			k.leave(en)
			return err
		}
	}
	_, attached := here[en.ENI]
	switch {
	case en.ENI == "", attached: // mark has done what is missing; an ENI that was to go is the pool's again
		k.done(en)
		return nil
	case en.Kind == Create && spare:
		k.mu.Lock()
		defer k.mu.Unlock()
		en.busy, en.spare, en.since = false, &found, time.Now()
		return nil
	case en.Kind == Create && time.Since(en.Time) < unseen:
		k.leave(en)
		return fmt.Errorf("EC2 does not show %s: it may be too new; asking again", en.ENI)
	}
	// Neither attached nor spare: it goes just now, or is gone.
	k.reach(en, func(in *Intent) { in.Kind, in.Step, in.Attachment = Remove, Deleting, "" })
	return k.end(ctx, en)
}

// Idle tells that an ENI has lain spare for so long that Tidy would delete it. It
// is asked all the time, and forgets what went back long ago by the way.
func (k *Keeper) Idle(now time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.forget(now)
	for _, en := range k.open {
		if k.idle(en, now) {
			return true
		}
	}
	return false
}

func (k *Keeper) idle(en *entry, now time.Time) bool {
	return !en.busy && en.spare != nil && now.Sub(en.since) > cmp.Or(k.SpareFor, SpareLife)
}

// Tidy deletes the ENIs that nobody wanted.
func (k *Keeper) Tidy(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	k.mu.Lock()
	var mine []*entry
	for _, en := range k.open {
		if k.idle(en, time.Now()) {
			en.busy, en.spare = true, nil
			mine = append(mine, en)
		}
	}
	k.mu.Unlock()
	var errs []error
	for _, en := range mine {
		k.reach(en, func(in *Intent) { in.Kind, in.Step, in.Attachment = Remove, Deleting, "" })
		errs = append(errs, k.end(ctx, en))
	}
	return errors.Join(errs...)
}

// Leaving are the ENIs that are to go and may be attached still.
func (k *Keeper) Leaving() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	var out []string
	for _, en := range k.open {
		if en.Kind == Remove && en.spare == nil {
			out = append(out, en.ENI)
		}
	}
	return out
}

// Takes tells whether an ENI that comes or goes may be at the device index still.
func (k *Keeper) Takes(card, device int) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, en := range k.open {
		if en.spare == nil && en.Card == card && en.Device == device {
			return true
		}
	}
	return false
}

// Holds tells whether an intent speaks of the ENI.
func (k *Keeper) Holds(id string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, en := range k.open {
		if en.ENI == id {
			return true
		}
	}
	return false
}
