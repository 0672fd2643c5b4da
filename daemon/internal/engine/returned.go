package engine

import (
	"context"
	"net/netip"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/daemon/internal/intent"
)

// recorded has it on disk which addresses go back before EC2 hears of it.
type recorded struct {
	Addresses
	intents *intent.Keeper
}

func (r recorded) Unassign(ctx context.Context, eniID string, addrs []netip.Addr) error {
	ended, err := r.intents.Return(eniID, addrs, nil)
	if err == nil {
		err = r.Addresses.Unassign(ctx, eniID, addrs)
		ended(err)
	}
	return err
}

func (r recorded) UnassignPrefixes(ctx context.Context, eniID string, prefixes []netip.Prefix) error {
	ended, err := r.intents.Return(eniID, nil, prefixes)
	if err == nil {
		err = r.Addresses.UnassignPrefixes(ctx, eniID, prefixes)
		ended(err)
	}
	return err
}

// dropReturned takes out of the pool what the daemon before gave back, and EC2's
// first answer may list still.
func (e *Engine) dropReturned(now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var enis []eni.ENI
	for _, m := range e.pool.Snapshot(now).ENIs {
		enis = append(enis, m.ENI)
	}
	e.pool.SetENIs(e.intents.Without(enis, now), now)
}
