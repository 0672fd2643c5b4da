package trunking

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/branch"
	"github.com/vpcchain/vpcchain/daemon/internal/eni"
)

// carry makes the calls that a record is away from its rest.
func (m *Manager) carry(ctx context.Context, key string) {
	ctx, cancel := context.WithTimeout(ctx, actionLimit)
	defer cancel()
	var err error
	for err == nil && ctx.Err() == nil {
		m.mu.Lock()
		r, ok := m.book.Get(key)
		m.mu.Unlock()
		if !ok || r.Step == branch.Ready {
			break
		}
		err = m.call(ctx, r)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.busy, key)
	m.poke()
	now := time.Now()
	r, there := m.book.Get(key)
	switch {
	case err == nil || ctx.Err() != nil && errors.Is(err, context.Canceled): // done, or the daemon stops
		delete(m.keys, key)
	case there && r.Step != branch.Creating:
		p := m.keys[key]
		if p == nil {
			p = &pause{}
			m.keys[key] = p
		}
		m.log.Warn("branch ENI", "eni", r.ENI, "step", string(r.Step), "error", err, "again_in", p.failed(err, now))
	case there:
		m.pauseKind(r.Kind, err, now)
	}
	m.serve(now)
}

// call makes the next call of a record.
func (m *Manager) call(ctx context.Context, r branch.Branch) error {
	switch r.Step {
	case branch.Creating:
		return m.create(ctx, r)
	case branch.Associating:
		return m.associate(ctx, r)
	case branch.Leaving:
		return m.disassociate(ctx, r)
	default:
		return m.delete(ctx, r)
	}
}

// reach books what EC2 answered.
func (m *Manager) reach(key string, change func(*branch.Branch)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r, ok := m.book.Get(key); ok {
		change(&r)
		m.book.Put(r)
		m.save(r)
	}
}

func (m *Manager) create(ctx context.Context, r branch.Branch) error {
	e, err := m.ec2.Create(ctx, r.Spec)
	now := time.Now()
	if err == nil {
		m.reach(r.Key, func(r *branch.Branch) {
			r.ENI, r.MAC, r.Addr, r.Subnet = e.ID, e.MAC, e.Primary, e.Subnet
			r.Step, r.Changed = branch.Associating, now
		})
		m.mu.Lock()
		delete(m.kinds, r.Kind)
		m.mu.Unlock()
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case e.ID != "": // it exists; asked again under its token, EC2 gives the same one
	case doubtfulError(err):
		m.doubtful[r.Key] = true
	case !errors.Is(err, eni.ErrThrottled):
		// Refused. An attempt before whose answer was lost may have been applied all the same.
		m.stale = m.stale || m.doubtful[r.Key]
		m.book.Forget(r.Key)
		m.drop(now, branch.Branch{Key: r.Key})
		m.pauseKind(r.Kind, err, now)
		if errors.Is(err, eni.ErrBadGroups) {
			m.book.Unwant(r.Kind)
			m.refuse(r.Kind, err)
		}
	}
	return err
}

func (m *Manager) associate(ctx context.Context, r branch.Branch) error {
	m.reach(r.Key, func(r *branch.Branch) { r.Changed = time.Now() })
	id, err := m.ec2.Associate(ctx, eni.Association{Trunk: r.Trunk, Branch: r.ENI, VLAN: r.VLAN}, r.AssociateToken())
	now := time.Now()
	switch {
	case err == nil:
		m.reach(r.Key, func(r *branch.Branch) { r.Step, r.Association, r.Changed, r.Freed = branch.Ready, id, now, now })
		m.log.Info("made a branch ENI", "eni", r.ENI, "vlan", r.VLAN, "groups", r.Kind.Groups, "took", now.Sub(r.Begun))
		return nil
	case doubtfulError(err), errors.Is(err, eni.ErrThrottled), errors.Is(err, eni.ErrUnauthorized):
		return err // asked again under the same token, EC2 gives the same association
	}
	m.reach(r.Key, func(r *branch.Branch) { r.Refused++ })
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stale = true // whether somebody has the VLAN id, or the branch is gone
	return err
}

func (m *Manager) disassociate(ctx context.Context, r branch.Branch) error {
	if r.Association == "" {
		return fmt.Errorf("the association of %s is not known: %w", r.ENI, eni.ErrNoAnswer)
	}
	if err := m.ec2.Disassociate(ctx, r.Association); err != nil {
		return err
	}
	m.reach(r.Key, func(r *branch.Branch) { r.Step, r.Association = branch.Deleting, "" })
	return nil
}

func (m *Manager) delete(ctx context.Context, r branch.Branch) error {
	err := m.ec2.DeleteBranch(ctx, r.ENI)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil {
		m.stale = m.stale || errors.Is(err, eni.ErrInUse) // it hangs on a trunk still
		return err
	}
	now := time.Now()
	m.book.Drop(r.Key, now)
	m.drop(now, r)
	m.log.Info("deleted a branch ENI", "eni", r.ENI, "vlan", r.VLAN)
	return nil
}
