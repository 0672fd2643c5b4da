package engine

import (
	"context"
	"errors"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/pool"
	"github.com/vpcchain/vpcchain/daemon/internal/trunking"
)

// Kubernetes is what it says of this node, as far as somebody reports it.
type Kubernetes interface {
	// Pending are pods of the node that will ask for an address and had none when
	// they were reported.
	Pending() []pool.Pod
	// Cordoned tells whether no new pods are sent to the node.
	Cordoned() bool
	// Changes has a value after any of it changed.
	Changes() <-chan struct{}
	// Failed is told of an ADD that ended without an address.
	Failed(pod pool.Pod, why error)
}

// podName is what Kubernetes knows a pod by at one time. A static pod has one UID
// for the runtime and another one in the API.
type podName struct{ namespace, name string }

func nameOf(p pool.Pod) podName { return podName{p.Namespace, p.Name} }

// demand is how many pods will ask for an address beside those that wait for one:
// those that Kubernetes tells of, and those that asked in vain a moment ago; the
// caller holds the lock. A pod that has one by now is not counted again:
// Kubernetes hears of it seconds later.
func (e *Engine) demand() int {
	var pending []pool.Pod
	if e.Kubernetes != nil {
		pending = e.Kubernetes.Pending()
	}
	if len(pending)+len(e.leavers) == 0 {
		return 0
	}
	asked := map[podName]bool{}
	for _, w := range e.waiters {
		asked[nameOf(w.pod)] = true
	}
	for _, h := range append(e.pool.Allocations(), e.branchAllocations()...) {
		asked[nameOf(h.Pod)] = true
	}
	n := 0
	for _, p := range pending {
		if !asked[nameOf(p)] {
			asked[nameOf(p)] = true
			n++
		}
	}
	return n + e.leavers.count(asked, time.Now())
}

// cordoned tells whether the pool keeps nothing ready; the caller holds the lock.
func (e *Engine) cordoned() bool {
	return e.Kubernetes != nil && !e.Config.ManageCordoned && e.Kubernetes.Cordoned()
}

// followKubernetes goes by what it says at once.
func (e *Engine) followKubernetes(ctx context.Context) {
	if e.Kubernetes == nil {
		return
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.Kubernetes.Changes():
		}
		e.poke()
	}
}

// tellFailure tells Kubernetes of an ADD for which there was no address.
func (e *Engine) tellFailure(pod pool.Pod, err error) {
	if e.Kubernetes != nil && (errors.Is(err, ErrNoAddress) || errors.Is(err, trunking.ErrNoBranch)) {
		e.Kubernetes.Failed(pod, err)
	}
}

// BranchLimit is how many branch ENIs pods of the node may have, and whether the
// daemon gives any.
func (e *Engine) BranchLimit() (limit int, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.limits.Branches, e.branches != nil
}
