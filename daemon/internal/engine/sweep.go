package engine

import (
	"context"
	"errors"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/orphans"
)

// ErrNoKernel is a Sweep of a daemon that keeps no kernel, and so sees no pods.
var ErrNoKernel = errors.New("vpc-ipamd runs without a kernel (-no-host): it cannot see which pods are there")

// errMeanwhile is an attachment that was released, or asked for again, since it was judged.
var errMeanwhile = errors.New("it was released, or added again, meanwhile")

// Sweep releases what attachments hold whose pods are gone, as a GC of the runtime
// would, at once and by what kernel and runtime say now. With dry it only says.
func (e *Engine) Sweep(ctx context.Context, dry bool) (orphans.Verdicts, error) {
	if e.Orphans == nil {
		return orphans.Verdicts{}, ErrNoKernel
	}
	if !dry {
		e.replaySpool() // those are released already, only not here
	}
	e.mu.Lock()
	held := append(e.pool.Allocations(), e.branchAllocations()...)
	e.mu.Unlock()
	out, err := e.Orphans.Judge(ctx, held, time.Now())
	if err != nil || dry {
		return out, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for i, v := range out.List {
		if !v.Release {
			continue
		}
		if err := e.releaseOrphan(v.Allocation); err != nil {
			out.List[i].Release, out.List[i].Why = false, err.Error()
		}
	}
	return out, nil
}
