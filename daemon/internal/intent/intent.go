// Package intent makes and removes ENIs so that a crash between any two calls of
// EC2 leaks nothing.
//
// Making an ENI takes three calls (create, attach, delete with the instance),
// removing one takes two (detach, delete). Before the first call the intent is
// on disk; each answer is added to it; after the last call it is cleared. What a
// crash, a lost answer or a refusal leaves is finished or undone by Settle: a
// create without an answer is asked again under its ClientToken, which gives the
// same ENI; an ENI that is attached gets its mark; one that is not lies spare,
// is used before a new one is made, and is deleted when nobody wants it; an ENI
// that was to go, goes, unless EC2 says that it is attached still: then it is
// the pool's again.
//
// Giving addresses back is one call, but EC2 may list them for a while after it:
// see Keeper.Return.
//
// Nothing is detached or deleted while the daemon stops: the next one does it,
// and what is attached and marked ends with the instance.
package intent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
)

// Kind of an intent.
type Kind string

// The intents.
const (
	Create Kind = "create" // create, attach and mark an ENI
	Remove Kind = "remove" // detach and delete it
	Return Kind = "return" // give addresses of it back
)

// Step is the call that the intent came to: it may have been made or not.
type Step string

// The steps, in their order.
const (
	Creating  Step = "create"
	Attaching Step = "attach"
	Marking   Step = "mark" // as to be deleted with the instance
	Detaching Step = "detach"
	Deleting  Step = "delete"
)

// Intent is what the daemon is about to do with an ENI.
type Intent struct {
	ID         string         `json:"id"`
	Kind       Kind           `json:"kind"`
	Step       Step           `json:"step"`
	Spec       eni.CreateSpec `json:"spec"` // with the ClientToken; the very request, which EC2 wants to see again
	ENI        string         `json:"eni,omitempty"`
	Attachment string         `json:"attachment,omitempty"`
	Card       int            `json:"card"`
	Device     int            `json:"device"`
	Time       time.Time      `json:"time"`
	// Addresses and Prefixes are what goes back.
	Addresses []netip.Addr   `json:"addresses,omitempty"`
	Prefixes  []netip.Prefix `json:"prefixes,omitempty"`
}

// String says the intent in words.
func (in Intent) String() string {
	if in.Kind == Return {
		return fmt.Sprintf("%s %v%v of %s", in.Kind, in.Addresses, in.Prefixes, in.ENI)
	}
	if in.ENI == "" {
		return fmt.Sprintf("%s an ENI in %s for device %d, at %s", in.Kind, in.Spec.SubnetID, in.Device, in.Step)
	}
	return fmt.Sprintf("%s %s, device %d, at %s", in.Kind, in.ENI, in.Device, in.Step)
}

// Store keeps the intents over a crash.
type Store interface {
	Intents() ([]Intent, error)
	Intend(in Intent) error // again under the same id: the last word counts
	Done(id string) error
}

// Maker are EC2's calls that make an ENI.
type Maker interface {
	// Available lists ENIs with all of the tags that are attached to nothing.
	Available(ctx context.Context, tags map[string]string) ([]eni.ENI, error)
	Create(ctx context.Context, spec eni.CreateSpec) (eni.ENI, error)
	Attach(ctx context.Context, eniID string, card, device int) (attachmentID string, err error)
	DeleteWithInstance(ctx context.Context, eniID, attachmentID string) error
}

// Remover are those that end one. What is gone already is a success.
type Remover interface {
	Detach(ctx context.Context, attachmentID string) error
	Delete(ctx context.Context, eniID string) error
}

// CreateError is EC2's refusal to create an ENI.
type CreateError struct{ error }

// Unwrap gives EC2's error.
func (e *CreateError) Unwrap() error { return e.error }

// Grace is how long calls that have begun may go on when the daemon stops.
const Grace = 10 * time.Second

// outlive is a context that ends Grace after the given one.
func outlive(ctx context.Context) (context.Context, context.CancelFunc) {
	late, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(Grace, cancel) })
	return late, func() { stop(); cancel() }
}

// doubtful tells that a call which failed may have been applied.
func doubtful(err error) bool {
	return errors.Is(err, eni.ErrNoAnswer) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// fits tells that an ENI that exists is as good as one made to the spec.
func fits(e eni.ENI, spec eni.CreateSpec) bool {
	sorted := func(s []string) []string { return slices.Sorted(slices.Values(s)) }
	return e.SubnetID == spec.SubnetID && slices.Equal(sorted(e.Groups), sorted(spec.Groups)) &&
		(len(e.Prefixes) == 0 || spec.Prefixes > 0) && e.IsTrunk() == (spec.Type == eni.TypeTrunk) && !kept(e)
}

// kept tells that an operator keeps the ENI to himself, or once did.
func kept(e eni.ENI) bool { return e.Tags[eni.TagNoManage] != "" }
