package engine

import (
	"maps"
	"time"
)

// tags of an ENI that is made now: the stock daemon's, so that what finds its
// ENIs finds ours, and the operator's. Config has checked that these do not overlap.
func (e *Engine) tags(now time.Time) map[string]string {
	out := maps.Clone(e.Config.ENITags)
	if out == nil {
		out = map[string]string{}
	}
	out["node.k8s.amazonaws.com/instance_id"] = e.node.InstanceID
	out["node.k8s.amazonaws.com/createdAt"] = now.UTC().Format(time.RFC3339)
	if e.Config.ClusterName != "" {
		out["cluster.k8s.amazonaws.com/name"] = e.Config.ClusterName
		// EKS removes ENIs with this tag when their node has gone.
		out["eks:eni:owner"] = "amazon-vpc-cni"
	}
	return out
}
