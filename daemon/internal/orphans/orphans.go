// Package orphans finds attachments whose pod is gone though no DEL came: the
// runtime was killed, lost its state, or never calls GC, as containerd. An
// attachment is an orphan when nothing of it has been in the kernel for a
// while, and the runtime, if it can be asked, does not know its sandbox.
package orphans

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/pool"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// Kernel tells what is left of pods.
type Kernel interface {
	// Veths are the host's ends.
	Veths(ctx context.Context) (Veths, error)
	// Netns tells whether the path is a network namespace.
	Netns(path string) Trace
}

// Veths are the host's ends of pods' interfaces, by their alias, and by name
// those that have none: of the stock CNI.
type Veths struct {
	Of      map[vpcnet.Attachment]bool
	Unnamed map[string]bool
}

func (v Veths) has(h pool.Allocation) bool { return v.Of[h.Attachment] || v.Unnamed[h.Pod.HostVeth] }

// Runtime is the container runtime.
type Runtime interface {
	// Sandboxes are the ids of all that it knows, running or not.
	Sandboxes(ctx context.Context) (map[string]bool, error)
}

// Trace is whether something is there.
type Trace int

// What cannot be looked at is unknown, which never counts as gone.
const (
	Unknown Trace = iota
	There
	Gone
)

// Finder looks again and again, and remembers.
type Finder struct {
	Kernel  Kernel
	Runtime Runtime // nil: it is not asked
	Grace   time.Duration

	mu      sync.Mutex
	hadVeth map[vpcnet.Attachment]bool // seen with a veth: not a delegated one
	missing map[vpcnet.Attachment]time.Time
}

// Find returns those of the held attachments that are without a trace for at
// least Grace. What a runtime still has a sandbox for is left to it: its DEL
// will come.
func (f *Finder) Find(ctx context.Context, held []pool.Allocation, now time.Time) ([]pool.Allocation, error) {
	veths, err := f.Kernel.Veths(ctx)
	if err != nil {
		return nil, err
	}
	return f.ask(ctx, f.without(held, veths, now))
}

// without are those that have had no trace for Grace, and remembers the others.
func (f *Finder) without(held []pool.Allocation, veths Veths, now time.Time) []pool.Allocation {
	f.mu.Lock()
	defer f.mu.Unlock()
	hadVeth, missing := map[vpcnet.Attachment]bool{}, map[vpcnet.Attachment]time.Time{}
	var out []pool.Allocation
	for _, h := range held {
		a := h.Attachment
		hadVeth[a] = f.hadVeth[a] || veths.has(h)
		if veths.has(h) || !f.gone(h, hadVeth[a]) {
			continue
		}
		first, seen := f.missing[a]
		// An attachment that was added since is not the one that was missing.
		if !seen || first.Before(h.Since) || first.After(now) {
			first = now
		}
		missing[a] = first
		if now.Sub(first) >= f.Grace && seen {
			out = append(out, h)
		}
	}
	f.hadVeth, f.missing = hadVeth, missing
	return out
}

// gone tells whether the pod's namespace is gone. One that is not known went
// with the veth, whose other end was in it. Of an attachment that never had one,
// such as a delegated one, only the runtime could tell.
func (f *Finder) gone(h pool.Allocation, hadVeth bool) bool {
	if h.Pod.Netns == "" {
		return hadVeth || h.Pod.HostVeth != "" || f.Runtime != nil
	}
	return f.Kernel.Netns(h.Pod.Netns) == Gone
}

// ask leaves out what the runtime has a sandbox for.
func (f *Finder) ask(ctx context.Context, candidates []pool.Allocation) ([]pool.Allocation, error) {
	if f.Runtime == nil || len(candidates) == 0 {
		return candidates, nil
	}
	known, err := f.Runtime.Sandboxes(ctx)
	if err != nil {
		return nil, fmt.Errorf("%d addresses look abandoned, and stay: asking the runtime for its sandboxes: %w", len(candidates), err)
	}
	var out []pool.Allocation
	for _, h := range candidates {
		if !known[h.Attachment.ContainerID] {
			out = append(out, h)
		}
	}
	return out, nil
}
