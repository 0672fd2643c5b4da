package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/decide"
	"github.com/vpcchain/vpcchain/daemon/internal/eni"
)

// Placement says where ENIs for pods go.
type Placement interface {
	// Places are where the next ENI may go, the best first. It is asked only
	// when an ENI is to be created.
	Places(ctx context.Context, node eni.Node) ([]eni.Placement, error)
	// Changes has a value after something changed that Places goes by.
	Changes() <-chan struct{}
}

// placeError is a failure of one subnet, which says nothing of the others. With
// no subnet it is that of the choice of one.
type placeError struct {
	subnet string
	until  time.Time // when another attempt makes sense; zero: by the usual spacing
	err    error
}

func (e *placeError) Error() string { return e.err.Error() }

func (e *placeError) Unwrap() error { return e.err }

// inSubnet marks a failure that only keeps ENIs from this subnet from growing.
func inSubnet(subnet string, err error) error {
	if isA(err, eni.ErrSubnetFull) {
		return &placeError{subnet: subnet, err: err}
	}
	return err
}

// notThere marks a failure to create that is the subnet's or its groups'.
func notThere(subnet string, err error) error {
	if isA(err, eni.ErrNotFound) {
		return &placeError{subnet: subnet, err: err}
	}
	return inSubnet(subnet, err)
}

// places spaces attempts per subnet; the key "" is the choice of a subnet, which
// fails when there is none to choose.
type places map[string]*backoff

// failed books a failure of a place, once for all actions that met it together.
func (p places) failed(err *placeError, now time.Time) time.Duration {
	b := p[err.subnet]
	if b == nil {
		b = &backoff{}
		p[err.subnet] = b
	}
	if !b.until.After(now) {
		b.failed(err.err, now)
	}
	b.last = err.err
	if !err.until.IsZero() {
		b.until = err.until
	}
	return b.until.Sub(now)
}

func (p places) succeeded(subnet string) {
	delete(p, subnet)
	delete(p, "")
}

// forget is backoff.forget of each.
func (p places) forget(now time.Time) {
	for _, b := range p {
		b.forget(now)
	}
	maps.DeleteFunc(p, func(_ string, b *backoff) bool { return b.failures == 0 })
}

// reasons are the errors in force, in a stable order.
func (p places) reasons() []string {
	var out []string
	for _, subnet := range slices.Sorted(maps.Keys(p)) {
		if r := p[subnet].reason(); r != "" && !slices.Contains(out, r) {
			out = append(out, r)
		}
	}
	return out
}

// wait is how long until the next place may be tried, limit at most.
func (p places) wait(now time.Time, limit time.Duration) time.Duration {
	for _, b := range p {
		if b.until.After(now) {
			limit = min(limit, b.until.Sub(now))
		}
	}
	return limit
}

// without decides as if the places for which out holds did not exist.
func (p places) without(in decide.Input, out func(*backoff) bool) []decide.Action {
	in.Pool.ENIs = slices.Clone(in.Pool.ENIs)
	for i, m := range in.Pool.ENIs {
		b := p[m.SubnetID]
		in.Pool.ENIs[i].Full = b != nil && out(b)
	}
	actions := decide.Decide(in)
	if b := p[""]; b != nil && out(b) {
		actions = slices.DeleteFunc(actions, func(a decide.Action) bool { return a.Kind == decide.Create })
	}
	return actions
}

// allowed decides with the places that may be tried now; the caller holds the lock.
func (e *Engine) allowed(in decide.Input, now time.Time) []decide.Action {
	wanted := decide.Decide(in)
	if len(wanted)+len(in.InFlight) == 0 {
		e.places.forget(now)
	}
	if len(e.places) == 0 {
		return wanted
	}
	return e.places.without(in, func(b *backoff) bool { return b.until.After(now) })
}

// place is where the next ENI goes: the best place that did not fail lately.
func (e *Engine) place(ctx context.Context) (eni.Placement, error) {
	node := e.whoAmI()
	list := []eni.Placement{{SubnetID: node.SubnetID}}
	if e.Placement != nil {
		var err error
		if list, err = e.Placement.Places(ctx, node); err != nil {
			return eni.Placement{}, &placeError{err: err}
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	now, full := time.Now(), &placeError{}
	var why []string
	for _, p := range list {
		b := e.places[p.SubnetID]
		if b == nil || !b.until.After(now) {
			if len(p.Groups) == 0 {
				p.Groups = node.Groups
			}
			return p, nil
		}
		if full.until.IsZero() || b.until.Before(full.until) {
			full.until = b.until
		}
		if b.last != nil {
			why = append(why, b.last.Error())
		}
	}
	full.err = fmt.Errorf("no subnet takes another ENI: %w", eni.ErrSubnetFull)
	if len(why) > 0 {
		full.err = fmt.Errorf("%w: %s", full.err, strings.Join(why, "; "))
	}
	return eni.Placement{}, full
}

// room is how many of the wanted addresses the ENI can get there.
func room(p eni.Placement, wanted int) int {
	if p.Free == 0 {
		return wanted
	}
	return max(min(wanted, p.Free-1), 0) // one is the ENI's own
}

// failed spaces the next attempt after a failed action, once for all actions that
// met the failure together; the caller holds the lock.
func (e *Engine) failed(err error, now time.Time) time.Duration {
	if at, ok := errors.AsType[*placeError](err); ok {
		return e.places.failed(at, now)
	}
	if t, ok := errors.AsType[*trunkError](err); ok {
		return e.trunk.failed(t.error, now)
	}
	if isA(err, eni.ErrThrottled) {
		e.sparing.refused(now)
	}
	if e.backoff.until.After(now) {
		e.backoff.last = err
		return e.backoff.until.Sub(now)
	}
	return e.backoff.failed(err, now)
}

// succeeded ends the spacing. What began before a failure says nothing of what
// comes after it. The caller holds the lock.
func (e *Engine) succeeded(now time.Time) {
	e.sparing.ended(now)
	if !e.backoff.until.After(now) {
		e.backoff.succeeded()
	}
}

// followPlacement tries again at once when an operator has changed where ENIs go.
func (e *Engine) followPlacement(ctx context.Context) {
	if e.Placement == nil {
		return
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.Placement.Changes():
		}
		e.mu.Lock()
		clear(e.places)
		e.mu.Unlock()
		e.poke()
	}
}

// whoAmI copies what is known of the node.
func (e *Engine) whoAmI() eni.Node {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.node
}
