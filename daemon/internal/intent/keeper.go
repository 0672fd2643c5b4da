package intent

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
)

// Keeper makes and removes ENIs, and knows what is unfinished. Its methods may
// be called concurrently.
type Keeper struct {
	SpareFor time.Duration // how long an ENI lies spare before it is deleted; 0: SpareLife

	maker   Maker
	remover Remover
	store   Store
	log     *slog.Logger

	mu    sync.Mutex
	open  map[string]*entry // by intent id, but for those of the kind Return
	given []*giving

	listing chan struct{} // full while EC2 is asked for spare ENIs, or may give one back; who waits can give up
	listed  bool          // EC2 has said which there are; under listing
	self    map[string]string
}

// entry is an intent that is not done.
type entry struct {
	Intent
	busy  bool     // somebody carries it out
	spare *eni.ENI // it is attached to nothing, and there to be used
	since time.Time
}

// New is a Keeper for the ENIs of a daemon. Load must come before its other methods.
func New(maker Maker, remover Remover, store Store, log *slog.Logger) *Keeper {
	return &Keeper{maker: maker, remover: remover, store: store, log: log, open: map[string]*entry{}, listing: make(chan struct{}, 1)}
}

// Load takes up what the daemon before left, and learns whose ENIs these are.
func (k *Keeper) Load(instanceID string) error {
	left, err := k.store.Intents()
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.self = map[string]string{eni.TagInstance: instanceID}
	for _, in := range left {
		if in.Kind == Return {
			k.given = append(k.given, &giving{Intent: in, ended: time.Now()})
			continue
		}
		k.open[in.ID] = &entry{Intent: in, since: time.Now()}
		k.log.Info("taking up what was begun", "intent", in.String())
	}
	return nil
}

// Unsettled tells that some intent waits for Settle.
func (k *Keeper) Unsettled() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, en := range k.open {
		if !en.busy && en.spare == nil {
			return true
		}
	}
	return false
}

// Make gives an attached ENI that ends with the instance: one that lies spare if
// it fits, else a new one. When ctx ends it goes on for Grace, since an ENI that
// is attached and marked cannot leak any more; it then only leaves off, and the
// next daemon's Settle takes over. What EC2 refuses is undone at once.
func (k *Keeper) Make(ctx context.Context, spec eni.CreateSpec, card, device int) (eni.ENI, error) {
	if err := k.list(ctx); err != nil {
		k.log.Warn("asking EC2 for spare ENIs; making a new one", "error", err)
	}
	late, cancel := outlive(ctx)
	defer cancel()
	en, made, err := k.begin(spec, card, device)
	if err != nil {
		return eni.ENI{}, err
	}
	if made.ID == "" {
		if made, err = k.create(late, en); err != nil {
			return eni.ENI{}, k.giveUp(ctx, late, en, err)
		}
	}
	k.reach(en, func(in *Intent) { in.Step, in.ENI = Attaching, made.ID })
	attachment, err := k.maker.Attach(late, made.ID, card, device)
	if err != nil {
		return eni.ENI{}, k.giveUp(ctx, late, en, err)
	}
	k.reach(en, func(in *Intent) { in.Step, in.Attachment = Marking, attachment })
	if err = k.maker.DeleteWithInstance(late, made.ID, attachment); err != nil {
		return eni.ENI{}, k.giveUp(ctx, late, en, err)
	}
	k.done(en)
	made.Card, made.Device, made.AttachmentID, made.DeleteOnTermination = card, device, attachment, true
	return made, nil
}

// create makes the ENI of an intent. Beside an id an error says that the ENI exists.
func (k *Keeper) create(ctx context.Context, en *entry) (eni.ENI, error) {
	made, err := k.maker.Create(ctx, en.Spec)
	if err != nil && made.ID != "" {
		k.reach(en, func(in *Intent) { in.Step, in.ENI = Attaching, made.ID })
	}
	return made, err
}

// begin records the intent before the first call.
func (k *Keeper) begin(spec eni.CreateSpec, card, device int) (*entry, eni.ENI, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if spec.ClientToken == "" {
		spec.ClientToken = rand.Text()
	}
	en := &entry{Intent: Intent{ID: rand.Text(), Kind: Create, Step: Creating, Spec: spec, Card: card, Device: device, Time: time.Now()}}
	var made eni.ENI
	for _, old := range k.open {
		if !old.busy && old.spare != nil && fits(*old.spare, spec) {
			en, made = old, *old.spare
			en.Kind, en.Step, en.ENI, en.Card, en.Device = Create, Attaching, made.ID, card, device
			break
		}
	}
	if err := k.store.Intend(en.Intent); err != nil {
		return nil, made, err
	}
	en.busy, en.spare = true, nil
	k.open[en.ID] = en
	return en, made, nil
}

// giveUp ends a Make that failed: nothing is left of it, or its intent is for
// Settle: when the daemon stops, when EC2 may have done what was asked, and when
// it is too busy, since an ENI that exists will do for the next attempt. So will
// one that EC2 does not know yet: it would not know it in a Delete either, which
// then passes for done.
func (k *Keeper) giveUp(ctx, late context.Context, en *entry, err error) error {
	switch {
	case en.ENI == "" && !doubtful(err):
		k.done(en) // EC2 refused to create it
		return &CreateError{err}
	case en.ENI == "", ctx.Err() != nil, doubtful(err), errors.Is(err, eni.ErrThrottled), errors.Is(err, eni.ErrNotFound):
		k.leave(en)
		return err
	}
	k.reach(en, func(in *Intent) {
		if in.Kind, in.Step = Remove, Deleting; in.Attachment != "" {
			in.Step = Detaching
		}
	})
	if undo := k.end(late, en); undo != nil {
		return errors.Join(err, fmt.Errorf("undoing: %w", undo))
	}
	return err
}

// Remove detaches and deletes an ENI that nobody uses. When ctx ends it leaves
// off, and the next daemon's Settle takes over.
func (k *Keeper) Remove(ctx context.Context, e eni.ENI) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	en := &entry{busy: true, Intent: Intent{
		ID: rand.Text(), Kind: Remove, Step: Detaching, ENI: e.ID, Attachment: e.AttachmentID, Card: e.Card, Device: e.Device, Time: time.Now(),
	}}
	k.mu.Lock()
	err := k.store.Intend(en.Intent)
	if err == nil {
		k.open[en.ID] = en
	}
	k.mu.Unlock()
	if err != nil {
		return err
	}
	return k.end(ctx, en)
}

// end detaches and deletes the ENI of an intent; after a failure it is for Settle.
func (k *Keeper) end(ctx context.Context, en *entry) (err error) {
	defer func() {
		if err != nil {
			k.leave(en)
		}
	}()
	if en.Attachment != "" {
		if err := k.remover.Detach(ctx, en.Attachment); err != nil {
			return err
		}
		k.reach(en, func(in *Intent) { in.Step, in.Attachment = Deleting, "" })
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := k.remover.Delete(ctx, en.ENI); err != nil {
		return err
	}
	k.done(en)
	return nil
}
