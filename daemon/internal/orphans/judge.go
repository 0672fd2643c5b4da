package orphans

import (
	"context"
	"fmt"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/pool"
)

// Verdict is what one look says of an attachment without an interface on the node.
type Verdict struct {
	pool.Allocation
	Release bool
	Why     string
}

// Verdicts are those of all that is held.
type Verdicts struct {
	List  []Verdict
	Alive int  // have an interface
	Asked bool // the runtime was asked
}

// Judge looks once, for an operator who asks now. It releases what Find would, and
// does not wait where the runtime can be asked: that the kernel has neither
// interface nor namespace, and that the runtime does not know the sandbox, are two
// sources. A runtime knows a sandbox only behind its ADD, so what is younger than
// Grace stays. Without a runtime the second source is time, as for Find.
func (f *Finder) Judge(ctx context.Context, held []pool.Allocation, now time.Time) (Verdicts, error) {
	veths, err := f.Kernel.Veths(ctx)
	if err != nil {
		return Verdicts{}, err
	}
	var out Verdicts
	var known map[string]bool
	if f.Runtime != nil {
		if known, err = f.Runtime.Sandboxes(ctx); err != nil {
			return Verdicts{}, fmt.Errorf("asking the runtime for its sandboxes: %w", err)
		}
		out.Asked = true
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, h := range held {
		if veths.has(h) {
			out.Alive++
			continue
		}
		release, why := f.judge(h, known, now)
		out.List = append(out.List, Verdict{h, release, why})
	}
	return out, nil
}

// judge is the verdict on one that has no interface.
func (f *Finder) judge(h pool.Allocation, known map[string]bool, now time.Time) (release bool, why string) {
	a, trace := h.Attachment, f.trace(h)
	switch {
	case trace == There:
		return false, "its network namespace is there: " + h.Pod.Netns
	case now.Sub(h.Since) < f.Grace:
		return false, "it came less than " + f.Grace.String() + " ago: its ADD may be under way"
	case known[a.ContainerID]:
		return false, "the runtime has its sandbox, whose DEL will come"
	case f.Runtime != nil && trace == Gone:
		return true, "it has neither interface nor network namespace, and the runtime does not know its sandbox"
	}
	first, seen := f.missing[a]
	switch gone := seen && !first.Before(h.Since) && !first.After(now); {
	case gone && now.Sub(first) >= f.Grace:
		return true, fmt.Sprintf("it has had no trace for %s", now.Sub(first).Round(time.Second))
	case gone || trace == Gone:
		return false, "it has no trace, and is released when that has lasted " + f.Grace.String()
	}
	return false, "the kernel does not show whether it is there: it has no interface of its own here, and its network namespace cannot be seen"
}

// trace is that of the pod's network namespace. One that is not known went with
// the interface that was seen; the caller holds the lock.
func (f *Finder) trace(h pool.Allocation) Trace {
	switch {
	case h.Pod.Netns != "":
		return f.Kernel.Netns(h.Pod.Netns)
	case f.hadVeth[h.Attachment] || h.Pod.HostVeth != "":
		return Gone
	}
	return Unknown
}
