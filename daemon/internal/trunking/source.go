package trunking

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/branch"
	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/daemon/internal/pool"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// Source is where the branch ENI of a pod comes from.
type Source interface {
	// Assign gives the holder a branch, on disk already. It waits for one until
	// ctx ends.
	Assign(ctx context.Context, h branch.Holder, w branch.Wish) (branch.Branch, error)
	// Release writes down that the branch has no holder any more; the books know
	// it, and the caller holds the lock.
	Release(r branch.Branch, now time.Time)
}

// ErrNoBranch is a pod that cannot have a branch ENI now.
var ErrNoBranch = errors.New("no branch ENI")

// ErrNotRecorded is one that could not be written down: a restart would give
// the branch to another pod.
var ErrNotRecorded = errors.New("the branch ENI cannot be recorded")

// Given is the answer of Assign.
type Given struct {
	branch.Branch
	Carrier eni.ENI // the trunk
	MTU     int     // of its link, bytes
}

// Assign gives the attachment a branch ENI, the same again if it holds one.
func (m *Manager) Assign(ctx context.Context, a vpcnet.Attachment, pod pool.Pod, w branch.Wish) (Given, error) {
	m.mu.Lock()
	r, held := m.book.Held(a)
	m.mu.Unlock()
	var err error
	if held {
		err = same(r, w)
	} else {
		r, err = m.source(w.Announced != nil).Assign(ctx, branch.Holder{Attachment: a, Pod: pod, Since: time.Now()}, w)
	}
	if err != nil {
		return Given{}, fmt.Errorf("%s: %w", whose(a, pod), err)
	}
	m.node.BranchesChanged()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.trunk.ID == "" {
		return Given{}, fmt.Errorf("%s: %w: %s", whose(a, pod), ErrNoBranch, m.trunk.Reason)
	}
	return Given{r, m.trunk.ENI, m.trunk.MTU}, nil
}

func (m *Manager) source(announced bool) Source {
	if announced {
		return controller{m}
	}
	return maker{m}
}

// same refuses a wish that is not what the attachment has: it would run with the
// security groups of before.
func same(r branch.Branch, w branch.Wish) error {
	switch {
	case w.Announced != nil && r.Announced && w.Announced.ENI == r.ENI && w.Announced.VLAN == r.VLAN:
		return nil
	case w.Announced == nil && !r.Announced && slices.Equal(w.Groups, r.Kind.List()):
		return nil
	}
	return other(r)
}

func sameKind(r branch.Branch, k branch.Kind) error {
	if r.Kind.Groups == k.Groups {
		return nil
	}
	return other(r)
}

func other(r branch.Branch) error {
	return fmt.Errorf("%w: the attachment has %s as VLAN %d already, and now asks for another branch: DEL it first", branch.ErrBadWish, r.ENI, r.VLAN)
}

func whose(a vpcnet.Attachment, pod pool.Pod) string {
	if pod.Name == "" {
		return a.String()
	}
	return "pod " + pod.Namespace + "/" + pod.Name
}

// Release ends what the attachment holds. Holding nothing is no error; ok tells.
func (m *Manager) Release(a vpcnet.Attachment) (held pool.Allocation, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.book.Held(a)
	if !ok {
		return pool.Allocation{}, false
	}
	now := time.Now()
	m.book.Release(a, now)
	m.source(r.Announced).Release(r, now)
	m.poke()
	return r.Allocation(), true
}

// controller is the VPC resource controller: it makes branches and announces
// them by the pod's annotation.
type controller struct{ m *Manager }

// Assign takes the announced branch as soon as its trunk is there.
func (c controller) Assign(ctx context.Context, h branch.Holder, w branch.Wish) (branch.Branch, error) {
	m := c.m
	for asked := false; ; asked = true {
		m.mu.Lock()
		if m.trunk.Ready {
			defer m.mu.Unlock()
			return c.take(h, *w.Announced)
		}
		reason := m.trunk.Reason
		m.need.Look = m.need.Look || !asked && m.trunk.ID == ""
		m.mu.Unlock()
		if !asked {
			m.node.BranchesChanged()
		}
		select {
		case <-ctx.Done():
			return branch.Branch{}, fmt.Errorf("%w: %s is a VLAN of the node's trunk ENI, and %s: see the VPC resource controller's events on the node", ErrNoBranch, w.Announced.ENI, reason)
		case <-time.After(trunkPoll):
		}
	}
}

// trunkPoll is how often a pod with an announced branch looks for the trunk.
const trunkPoll = 100 * time.Millisecond

// take is Assign under the lock.
func (c controller) take(h branch.Holder, a branch.Announcement) (branch.Branch, error) {
	r, over, err := c.m.book.Announce(h, a, c.m.trunk.ID)
	if err != nil {
		return branch.Branch{}, fmt.Errorf("%w: %w", ErrNoBranch, err)
	}
	if err := c.m.store.PutBranches(r); err != nil {
		c.m.book.Release(h.Attachment, h.Since)
		return branch.Branch{}, fmt.Errorf("%w: %w", ErrNotRecorded, err)
	}
	for _, o := range over {
		if o.Key != r.Key {
			c.m.drop(h.Since, o)
		}
	}
	return r, nil
}

// Release forgets the branch: its controller ends it.
func (c controller) Release(r branch.Branch, now time.Time) { c.m.drop(now, r) }
