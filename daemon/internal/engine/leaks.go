package engine

import (
	"context"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/daemon/internal/leaks"
)

// cleanLeaks deletes the cluster's leaked ENIs when it is this node's turn, until
// ctx ends. Without the cluster's name they cannot be told from another one's.
func (e *Engine) cleanLeaks(ctx context.Context) {
	cluster := e.Config.ClusterName
	if cluster == "" || e.Config.KeepLeaks {
		return
	}
	for {
		timer := time.NewTimer(time.Until(leaks.Next(e.node.InstanceID, time.Now())))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		available, err := e.ENIs.Available(ctx, map[string]string{eni.TagCluster: cluster})
		if err != nil && ctx.Err() == nil {
			e.Log.Warn("looking for leaked ENIs; the next time is tomorrow", "error", err)
		}
		for _, l := range leaks.Of(cluster, available, time.Now()) {
			e.deleteLeaked(ctx, l)
		}
	}
}

// leakLimit bounds the deletion of an ENI that somebody has attached meanwhile.
const leakLimit = 5 * time.Second

func (e *Engine) deleteLeaked(ctx context.Context, l eni.ENI) {
	if ctx.Err() != nil || e.intents.Holds(l.ID) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, leakLimit)
	defer cancel()
	if err := e.Remover.Delete(ctx, l.ID); err != nil {
		e.Log.Warn("deleting a leaked ENI", "eni", l.ID, "error", err)
		return
	}
	e.Log.Info("deleted a leaked ENI", "eni", l.ID, "instance", l.Tags[eni.TagInstance], "created", l.Created)
}
