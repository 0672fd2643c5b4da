package engine

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vpcchain/vpcchain/daemon/internal/pool"
	"github.com/vpcchain/vpcchain/pkg/nodefacts"
)

// factsEvery is how often IMDS is asked for the VPC's CIDRs, which an operator
// may change while the node runs.
const factsEvery = 10 * time.Second

// every calls f each time d has passed, until ctx ends.
func every(ctx context.Context, d time.Duration, f func()) {
	tick := time.NewTicker(d)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			f()
		}
	}
}

// keepFacts follows the VPC until ctx ends, and makes up for facts that could
// not be written.
func (e *Engine) keepFacts(ctx context.Context) {
	every(ctx, factsEvery, func() {
		was := e.whoAmI().VPCCIDRs
		node, err := e.Metadata.Node(ctx)
		changed := err == nil && len(node.VPCCIDRs) > 0 && !slices.Equal(node.VPCCIDRs, was)
		if !changed && e.unwrittenFacts() == nil {
			return // without an answer the facts stay as they are
		}
		if changed {
			e.setCIDRs(node.VPCCIDRs)
		}
		if err := e.writeFacts(); err != nil {
			e.setCIDRs(was) // tried again with the next tick
			e.Log.Warn("writing the node facts", "error", err)
			return
		}
		if changed {
			e.Log.Info("the VPC's CIDRs have changed", "from", was, "to", node.VPCCIDRs)
		}
		e.updateStatus()
		if e.FactsChanged != nil {
			e.FactsChanged()
		}
	})
}

// writeFacts tells the plugins what the node is. What cannot be written is kept
// in mind: it shows in STATUS, and is tried again.
func (e *Engine) writeFacts() error {
	e.mu.Lock()
	primary, node := e.primary, e.node
	trunk, mode := e.trunkFacts()
	e.mu.Unlock()
	err := nodefacts.Write(e.factsPath(), nodefacts.Facts{
		InstanceID: node.InstanceID, PrimaryIP: node.PrimaryIP, PrimaryMAC: node.PrimaryMAC, PrimaryLink: primary.Name,
		PrimaryMTU: primary.MTU, VPCCIDRs: node.VPCCIDRs, VethPrefix: e.Config.VethPrefix, SNAT: e.Config.SNAT,
		Trunk: trunk, EnforcingMode: mode,
	})
	if diskFull(err) {
		err = fmt.Errorf("%w: free space in %s", err, e.StateDir)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.unwritten = err
	return err
}

func (e *Engine) unwrittenFacts() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.unwritten
}

func diskFull(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

func (e *Engine) setCIDRs(cidrs []netip.Prefix) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.node.VPCCIDRs = cidrs
}

// forget drops the tracked connections of released addresses until ctx ends, all
// of them in one pass over the kernel's table, and well before an address rests
// no more.
func (e *Engine) forget(ctx context.Context) {
	if e.Forget == nil {
		return
	}
	every(ctx, min(max(e.Config.Cooldown/3, 100*time.Millisecond), 5*time.Second), func() {
		e.mu.Lock()
		addrs := slices.DeleteFunc(e.released, e.inUse)
		e.released = nil
		e.mu.Unlock()
		if len(addrs) == 0 {
			return
		}
		if _, err := e.Forget(addrs); err != nil {
			e.Log.Warn("dropping tracked connections", "error", err)
			e.mu.Lock()
			e.released = append(e.released, addrs...)
			e.mu.Unlock()
		}
	})
}

// inUse tells whether a pod has the address again; the caller holds the lock.
func (e *Engine) inUse(a netip.Addr) bool {
	return slices.ContainsFunc(append(e.pool.Allocations(), e.branchAllocations()...), func(h pool.Allocation) bool { return h.Addr == a })
}
