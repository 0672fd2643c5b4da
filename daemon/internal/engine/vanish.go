package engine

import (
	"slices"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/confirm"
	"github.com/vpcchain/vpcchain/daemon/internal/eni"
)

// An ENI that the pool has and EC2 does not list as attached any more was
// detached by somebody. It is ours still, and would lie about for ever: the
// intents' keeper is told to look for spare ENIs, at once and a second time when
// EC2 has surely detached it.

// vanished notes that ENIs of the pool are not in the answer; the caller holds the lock.
func (e *Engine) vanished(answer []eni.ENI, now time.Time) {
	for _, m := range e.pool.Snapshot(now).ENIs {
		listed := slices.ContainsFunc(answer, func(a eni.ENI) bool { return a.ID == m.ID })
		if listed || m.IsPrimary() || m.Reserved || e.intents.Holds(m.ID) {
			continue
		}
		e.Log.Warn("an ENI is not attached any more: somebody detached it", "eni", m.ID)
		if e.doubts.gone.IsZero() {
			e.doubts.gone = now
		}
	}
}

// relists tells whether to look for spare ENIs now, and sees to the second time;
// the caller holds the lock.
func (e *Engine) relists(now time.Time) bool {
	if e.doubts.gone.IsZero() {
		return false
	}
	second := e.doubts.gone.Add(confirm.After)
	if !now.Before(second) {
		e.doubts.gone = time.Time{}
	} else if e.look.again.IsZero() || second.Before(e.look.again) {
		e.look.again = second
	}
	return true
}
