package kubeapi

import (
	"context"
	"fmt"
	"log/slog"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"github.com/vpcchain/vpcchain/pkg/ipamapi"
)

// nodes follows one node. The selectors are what keeps a node of a large cluster
// from hearing of all others.
func (c *Client) nodes(name string, log *slog.Logger, changed func()) *source[node] {
	only := fields.OneTermEqualSelector("metadata.name", name)
	return &source[node]{kind: "nodes", log: log, changed: changed, pick: pickNode, from: cache.NewListWatchFromClient(c.core, "nodes", "", only)}
}

// pods follows the pods of one node.
func (c *Client) pods(node string, log *slog.Logger, changed func()) *source[*ipamapi.Pod] {
	only := fields.OneTermEqualSelector("spec.nodeName", node)
	return &source[*ipamapi.Pod]{kind: "pods", log: log, changed: changed, pick: pickPod, from: cache.NewListWatchFromClient(c.core, "pods", "", only)}
}

// eniConfigs follows all of them: which one is the node's, vpc-ipamd knows.
func (c *Client) eniConfigs(log *slog.Logger, changed func()) *source[[]byte] {
	from := cache.NewListWatchFromClient(c.crd, "eniconfigs", "", fields.Everything())
	return &source[[]byte]{kind: "eniconfigs", log: log, changed: changed, pick: pickENIConfig, from: from}
}

// SetCapacity publishes how many branch ENIs the pods of the node may have. The
// kubelet makes it the node's allocatable, which the scheduler goes by.
func (c *Client) SetCapacity(ctx context.Context, node string, branches int64) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	patch := fmt.Appendf(nil, `{"status":{"capacity":{%q:"%d"}}}`, podENI, branches)
	if err := c.core.Patch(types.MergePatchType).Resource("nodes").Name(node).SubResource("status").Body(patch).Do(ctx).Error(); err != nil {
		return fmt.Errorf("setting the capacity %s of node %s to %d: %w", podENI, node, branches, err)
	}
	return nil
}

// CreateEvent creates an event.
func (c *Client) CreateEvent(ctx context.Context, e *corev1.Event) error {
	return c.core.Post().Namespace(e.Namespace).Resource("events").Body(e).Do(ctx).Error()
}

// PatchEvent changes fields of an event.
func (c *Client) PatchEvent(ctx context.Context, namespace, name string, patch []byte) error {
	return c.core.Patch(types.MergePatchType).Namespace(namespace).Resource("events").Name(name).Body(patch).Do(ctx).Error()
}
