package engine

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
)

// Groups changes the security groups of an ENI.
type Groups interface {
	SetGroups(ctx context.Context, eniID string, groups []string) error
}

// groupsEvery is how often the primary ENI's security groups are read from IMDS.
const groupsEvery = 30 * time.Second

// followGroups gives the pods' ENIs the security groups of the primary one until
// ctx ends. With custom networking the groups of an ENI are its ENIConfig's.
func (e *Engine) followGroups(ctx context.Context) {
	if e.Groups == nil || e.Config.CustomNet {
		return
	}
	every(ctx, groupsEvery, func() {
		// Without an answer, or with none in it, the groups stay as they are.
		if node, err := e.Metadata.Node(ctx); err == nil && len(node.Groups) > 0 {
			e.alignGroups(ctx, node.Groups)
		}
	})
}

// alignGroups sets the groups where they differ. What fails is tried again later.
func (e *Engine) alignGroups(ctx context.Context, groups []string) {
	e.mu.Lock()
	e.node.Groups = groups
	var differ []eni.ENI
	for _, m := range e.pool.Snapshot(time.Now()).ENIs {
		if !m.IsPrimary() && !m.Reserved && !sameSet(m.Groups, groups) {
			differ = append(differ, m.ENI)
		}
	}
	if len(differ) == 0 {
		e.groups.succeeded()
	}
	early := e.groups.until.After(time.Now())
	e.mu.Unlock()
	if early {
		return
	}
	var failure error
	for _, m := range differ {
		if err := e.Groups.SetGroups(ctx, m.ID, groups); err != nil {
			failure = fmt.Errorf("giving %s the security groups of the primary ENI: %w", m.ID, err)
			continue
		}
		e.Log.Info("security groups follow the primary ENI", "eni", m.ID, "from", m.Groups, "to", groups)
		e.mu.Lock()
		e.pool.SetGroups(m.ID, groups)
		e.mu.Unlock()
	}
	if len(differ) == 0 || ctx.Err() != nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if failure == nil {
		e.groups.succeeded()
		return
	}
	wait := e.groups.failed(failure, time.Now())
	e.Log.Warn("security groups", "error", failure, "again_in", max(wait, groupsEvery))
}

func sameSet(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}
