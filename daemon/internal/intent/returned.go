package intent

import (
	"crypto/rand"
	"net/netip"
	"slices"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
)

// Addresses that go back to EC2 may be listed by it for a while still, and a pod
// that got one would have no network. So it is on disk before the call which
// addresses go, and what EC2 says of them is not believed until it must know
// better. Should it have kept one, IMDS tells of it later.

// giving is an intent of the kind Return.
type giving struct {
	Intent
	ended time.Time // the call, or the start of this daemon; zero: it goes on
}

// Return records that the addresses and prefixes of an ENI go back to EC2. The
// function that it returns is to be called with the outcome.
func (k *Keeper) Return(eniID string, addrs []netip.Addr, prefixes []netip.Prefix) (ended func(error), err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	g := &giving{Intent: Intent{ID: rand.Text(), Kind: Return, ENI: eniID, Addresses: addrs, Prefixes: prefixes, Time: time.Now()}}
	if err := k.store.Intend(g.Intent); err != nil {
		return nil, err
	}
	k.given = append(k.given, g)
	return func(err error) {
		k.mu.Lock()
		defer k.mu.Unlock()
		g.ended = time.Now()
		if err != nil && !doubtful(err) {
			g.ended = time.Now().Add(-unseen) // EC2 has kept them, and says so when it is asked
		}
		k.forget(time.Now())
	}, nil
}

// Without is the answer without what has gone back; it is not changed.
func (k *Keeper) Without(answer []eni.ENI, now time.Time) []eni.ENI {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.forget(now)
	if len(k.given) == 0 {
		return answer
	}
	out := slices.Clone(answer)
	for i := range out {
		out[i].Addresses = slices.DeleteFunc(slices.Clone(out[i].Addresses), func(a netip.Addr) bool {
			return k.gave(func(in Intent) bool { return in.ENI == out[i].ID && slices.Contains(in.Addresses, a) })
		})
		out[i].Prefixes = slices.DeleteFunc(slices.Clone(out[i].Prefixes), func(p netip.Prefix) bool {
			return k.gave(func(in Intent) bool { return in.ENI == out[i].ID && slices.Contains(in.Prefixes, p) })
		})
	}
	return out
}

func (k *Keeper) gave(is func(Intent) bool) bool {
	return slices.ContainsFunc(k.given, func(g *giving) bool { return is(g.Intent) })
}

// forget ends the intents of which EC2 surely knows; the caller holds the lock.
func (k *Keeper) forget(now time.Time) {
	k.given = slices.DeleteFunc(k.given, func(g *giving) bool {
		old := !g.ended.IsZero() && now.Sub(g.ended) >= unseen
		if old {
			if err := k.store.Done(g.ID); err != nil {
				k.log.Warn("clearing an intent", "intent", g.String(), "error", err)
			}
		}
		return old
	})
}
