package engine

import (
	"context"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/decide"
	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/daemon/internal/hostnet"
	"github.com/vpcchain/vpcchain/daemon/internal/pool"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

const (
	slowTick = 30 * time.Second       // the loop runs at least so often
	calm     = 100 * time.Millisecond // and, while nobody waits, no more often
)

// Run is the loop; it returns when ctx ends and the actions have.
func (e *Engine) Run(ctx context.Context) error {
	events, err := e.Host.Watch(ctx)
	if err != nil {
		return err
	}
	if e.branches != nil {
		e.actions.Go(func() { _ = e.branches.Run(ctx) }) // its only end is ctx's
	}
	e.actions.Go(func() { e.takeUp(ctx) })
	e.actions.Go(func() { e.cleanLeaks(ctx) })
	e.actions.Go(func() { e.keepFacts(ctx) })
	e.actions.Go(func() { e.forget(ctx) })
	e.actions.Go(func() { e.sweep(ctx) })
	e.actions.Go(func() { e.followIMDS(ctx) })
	e.actions.Go(func() { e.followGroups(ctx) })
	e.actions.Go(func() { e.followPlacement(ctx) })
	e.actions.Go(func() { e.followKubernetes(ctx) })
	e.mu.Lock()
	e.sizing.burst.start(time.Now())
	e.mu.Unlock()
	for {
		e.once(ctx)
		e.pulse.beat(time.Now())
		timer := time.NewTimer(e.next(time.Now()))
		select {
		case <-ctx.Done():
			timer.Stop()
			e.actions.Wait()
			return nil
		case <-e.wake:
		case _, open := <-events:
			if !open {
				events = nil // the kernel's news ended with ctx
			}
		case <-timer.C:
			e.replaySpool()
		}
		timer.Stop()
		e.settle(ctx)
	}
}

// settle lets a burst of ADDs and DELs pass as one change, so that the kernel
// is not read once for each of them. Nobody waits for it.
func (e *Engine) settle(ctx context.Context) {
	over := time.NewTimer(calm)
	defer over.Stop()
	for {
		e.mu.Lock()
		waiting := len(e.waiters) > 0 || len(e.inFlight) > 0
		e.mu.Unlock()
		if waiting {
			return // growing begins with the first ADD that waits
		}
		select {
		case <-ctx.Done():
			return
		case <-over.C:
			return
		case <-e.wake:
		}
	}
}

// once observes, decides and acts.
func (e *Engine) once(ctx context.Context) {
	if err := e.syncHost(ctx); err != nil && ctx.Err() == nil {
		e.Log.Warn("repairing the node's network", "error", err)
	}
	if err := e.healBranches(); err != nil {
		e.Log.Warn("repairing branch ENIs", "error", err)
	}
	e.mu.Lock()
	newFacts := e.followTrunk(time.Now())
	e.forgetDrains(time.Now())
	e.serveWaiters(time.Now())
	actions := append(e.decide(time.Now()), e.wantTrunk(time.Now())...)
	e.lookIfDue(ctx, time.Now())
	e.tidy(ctx, time.Now())
	e.mu.Unlock()
	for _, a := range actions {
		e.start(ctx, a)
	}
	if newFacts {
		if err := e.writeFacts(); err != nil {
			e.Log.Warn("writing the node facts", "error", err) // tried again with the next round
		}
	}
	e.updateStatus()
}

// next is how long the loop may sleep: until an address has rested, EC2 may be
// tried or asked again, or the slow tick.
func (e *Engine) next(now time.Time) time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	wait := slowTick
	if t := e.pool.NextAvailable(now); !t.IsZero() {
		wait = min(wait, t.Sub(now))
	}
	if t := e.sizing.patience.Ends(); t.After(now) {
		wait = min(wait, t.Sub(now))
	}
	if e.backoff.until.After(now) {
		wait = min(wait, e.backoff.until.Sub(now))
	}
	if g := e.sizing.burst.until(now); g > 0 {
		wait = min(wait, g)
	}
	if e.trunk.wanted && e.trunk.until.After(now) {
		wait = min(wait, e.trunk.until.Sub(now))
	}
	wait = e.look.wait(now, wait)
	return max(e.places.wait(now, wait), time.Millisecond)
}

// decide picks the actions to start and books them; the caller holds the lock.
func (e *Engine) decide(now time.Time) []decide.Action {
	in := e.input(now)
	in.Shrink = e.sizing.patience.Lasted(decide.Surplus(in), now)
	actions := e.allowed(in, now)
	if len(in.InFlight)+len(actions) == 0 {
		e.backoff.forget(now)
	}
	e.plan = nil
	for _, a := range append(in.InFlight, actions...) {
		e.plan = append(e.plan, a.String())
	}
	if e.backoff.until.After(now) || e.look.due(now) || e.sizing.burst.until(now) > 0 {
		return nil
	}
	e.sizing.burst = gathering{}
	return e.spare(in, actions, now)
}

// syncHost makes the kernel what the pool wants and learns which ENIs are ready.
func (e *Engine) syncHost(ctx context.Context) error {
	d := e.desired(time.Now())
	obs, err := e.Host.Sync(ctx, d)
	for _, what := range obs.Repaired {
		e.Log.Info("repaired", "object", what)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.primary, e.degraded = obs.Primary, obs.Degraded
	for kind, n := range obs.Healed {
		e.tally.Heals[kind] += uint64(n)
	}
	if err != nil {
		e.degraded = append(e.degraded, err.Error())
	}
	for id, l := range obs.ENIs {
		e.links[id] = l
		e.pool.SetReady(id, l.Ready, l.Reason)
	}
	return err
}

// desired is the kernel state for the pool as it is now.
func (e *Engine) desired(now time.Time) hostnet.Desired {
	e.mu.Lock()
	s := e.pool.Snapshot(now)
	e.mu.Unlock()
	d := hostnet.Desired{Primary: e.node.PrimaryIP, PrimaryMAC: e.node.PrimaryMAC, MTU: e.Config.ENIMTU, External: e.Config.External}
	for _, m := range s.ENIs {
		if m.Reserved && !m.IsPrimary() && m.Count(pool.Used) == 0 && !e.isTrunk(m.ENI) {
			continue // nothing of ours is on it
		}
		d.ENIs = append(d.ENIs, hostnet.ENI{ID: m.ID, MAC: m.MAC, Card: m.Card, Device: m.Device, Primary: m.Primary, Subnet: m.Subnet})
		table := vpcnet.ENITable(m.Card, m.Device)
		// A prefix has its rule before the first pod of it comes.
		for _, b := range m.Prefixes {
			d.From = append(d.From, hostnet.From{Prefix: b, Table: table})
		}
		for _, slot := range m.Slots {
			// An address keeps its rule while it rests: packets of its late pod still leave the right way.
			unused := slot.State == pool.Free || m.Draining && slot.State == pool.Reserved
			if !unused && !slot.Prefix.IsValid() {
				d.From = append(d.From, hostnet.From{Prefix: vpcnet.Host(slot.Addr), Table: table})
			}
			if h := slot.Holder; h != nil {
				d.Pods = append(d.Pods, hostnet.Pod{Addr: slot.Addr, HostVeth: e.hostVeth(*h)})
			}
		}
	}
	return d
}

func (e *Engine) hostVeth(h pool.Allocation) string {
	if h.Pod.HostVeth != "" {
		return h.Pod.HostVeth
	}
	a := h.Attachment
	return vpcnet.HostVethName(e.Config.VethPrefix, h.Pod.Namespace, h.Pod.Name, a.ContainerID, a.IfName)
}

// backoff spaces attempts after failures: 1 s doubled up to a minute, with jitter
// so that the nodes of a cluster do not come back together.
type backoff struct {
	failures int
	until    time.Time
	last     error
}

const (
	firstBackoff = time.Second
	lastBackoff  = time.Minute

	// A call that was throttled was tried for 15 s, package cloud says how: the
	// spacing goes on from there, with 8 s.
	throttledBackoff = 3
)

func (b *backoff) failed(err error, now time.Time) time.Duration {
	from := b.failures
	if isA(err, eni.ErrThrottled) {
		from += throttledBackoff
	}
	d := min(firstBackoff<<min(from, 10), lastBackoff)
	d = d/2 + rand.N(d) //nolint:gosec // jitter
	b.failures++
	b.until, b.last = now.Add(d), err
	return d
}

func (b *backoff) succeeded() { *b = backoff{} }

// forget is for when nothing is to be tried again: an error that stops nobody is
// not reported any more. The spacing outlasts it, or demand that comes and goes
// would bring an attempt each time.
func (b *backoff) forget(now time.Time) {
	b.last = nil
	if now.Sub(b.until) > lastBackoff {
		b.succeeded()
	}
}

// reason is the last EC2 error with the next step, in one line.
func (b *backoff) reason() string {
	if b.last == nil {
		return ""
	}
	return strings.ReplaceAll(b.last.Error(), "\n", "; ") + nextStep(b.last)
}

func nextStep(err error) string {
	switch {
	case isA(err, eni.ErrSubnetFull):
		return ": free addresses in the subnet, or add one for pods"
	case isA(err, eni.ErrUnauthorized):
		return ": give the node's role the EC2 permissions of the README"
	case isA(err, eni.ErrThrottled):
		return ": EC2 limits the account's calls; vpc-ipamd tries again by itself"
	}
	return ""
}
