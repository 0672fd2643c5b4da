package engine

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/confirm"
	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/daemon/internal/pool"
)

// imdsEvery is how often IMDS, which costs no EC2 call, is asked what the ENIs
// have: the stock CNI's interval.
const imdsEvery = time.Minute

// doubts are what speaks against the books.
type doubts struct {
	judge   confirm.Judge
	kernel  map[netip.Addr]string // addresses that the kernel uses and nobody holds
	missing time.Time             // since when ENIs of pods are missing, at the start
	before  string                // IMDS's view beside ours, at the last reading
	asked   string                // the same, when EC2 was asked about it
	gone    time.Time             // when ENIs were first not attached any more that somebody detached
}

// believe takes an answer of EC2 or IMDS into the pool as far as it is to be
// believed; the caller holds the lock. What it doubts it asks for again through e.look,
// so whatever resets that comes before.
func (e *Engine) believe(answer []eni.ENI, now time.Time) {
	var known []eni.ENI
	for _, m := range e.pool.Snapshot(now).ENIs {
		known = append(known, m.ENI)
	}
	answer = e.intents.Without(answer, now)
	enis, changes := e.doubts.judge.Hear(answer, known, e.pool.Allocations(), now)
	for _, c := range changes {
		e.Log.Warn("an address of a pod", "what", c.String())
	}
	e.pool.SetENIs(enis, now)
	e.withhold()
	e.look.again = e.doubts.judge.Next()
}

// withhold keeps what is in doubt from the pods; the caller holds the lock.
func (e *Engine) withhold() {
	all := maps.Clone(e.doubts.kernel)
	if all == nil {
		all = map[netip.Addr]string{}
	}
	maps.Copy(all, e.doubts.judge.Doubts())
	e.pool.Withhold(all)
}

// allThere is an error while the first answers at the start lack an ENI of a
// pod. The kernel is left as it is meanwhile: without the ENI its pods' rules
// would go, and one answer is not reason enough.
func (e *Engine) allThere(answer []eni.ENI, now time.Time) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	missing := confirm.Missing(answer, e.pool.Allocations())
	if len(missing) == 0 {
		return nil
	}
	if e.doubts.missing.IsZero() {
		e.doubts.missing = now
	}
	if now.Sub(e.doubts.missing) < confirm.After {
		return fmt.Errorf("%s of running pods: not listed; asking again before it is believed", strings.Join(missing, ", "))
	}
	e.Log.Error("ENIs of running pods are gone: somebody detached them; delete the pods, so that they get other addresses", "enis", missing)
	return nil
}

// lost says which pods' addresses no ENI has any more; the caller holds the lock.
func (e *Engine) lost(s pool.Snapshot) []string {
	var out []string
	for _, h := range s.Lost {
		out = append(out, fmt.Sprintf("%s of %s is on no ENI any more: delete the pod, so that it gets another address", h.Addr, h.Attachment))
	}
	slices.Sort(out)
	return out
}

// followIMDS compares IMDS with the books until ctx ends. EC2 judges what two
// readings in a row tell otherwise, once for each such difference: IMDS lags.
func (e *Engine) followIMDS(ctx context.Context) {
	every(ctx, imdsEvery, func() {
		if enis, err := e.Metadata.ENIs(ctx); err == nil {
			e.compare(enis, time.Now())
		}
	})
}

func (e *Engine) compare(enis []eni.ENI, now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var ours []eni.ENI
	for _, m := range e.pool.Snapshot(now).ENIs {
		ours = append(ours, m.ENI)
	}
	theirs, own := outline(enis), outline(ours)
	both := theirs + " instead of " + own
	again := both == e.doubts.before
	e.doubts.before = both
	if theirs == own {
		e.doubts.asked = "" // what comes up again is new
	}
	if theirs == own || !again || both == e.doubts.asked || len(e.inFlight) > 0 || e.look.stale {
		return
	}
	e.doubts.asked = both
	e.Log.Info("IMDS differs from the books: asking EC2", "imds", theirs, "books", own)
	e.look.stale = true
	e.poke()
}

// outline is what ENIs have, in a form to compare.
func outline(enis []eni.ENI) string {
	var out []string
	for _, e := range enis {
		has := []string{}
		for _, a := range e.Addresses {
			has = append(has, a.String())
		}
		for _, p := range e.Prefixes {
			has = append(has, p.String())
		}
		slices.Sort(has)
		out = append(out, e.ID+" "+strings.Join(has, " "))
	}
	slices.Sort(out)
	return strings.Join(out, "; ")
}
