package kubeapi

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/vpcchain/vpcchain/pkg/ipamapi"
)

// podENI is the resource of branch ENIs, under the name that the stock AWS VPC
// CNI's controller gives it.
const podENI corev1.ResourceName = "vpc.amazonaws.com/pod-eni"

// node is what is needed of a node.
type node struct {
	report   *ipamapi.KubeNode
	branches int64 // its capacity of branch ENIs
}

// dull is an annotation that is large or changes all the time, and that says
// nothing of where ENIs go.
func dull(key string) bool {
	switch key {
	case "kubectl.kubernetes.io/last-applied-configuration", "volumes.kubernetes.io/controller-managed-attach-detach",
		"csi.volume.kubernetes.io/nodeid", "node.alpha.kubernetes.io/ttl":
		return true
	}
	return false
}

func pickNode(obj any) (string, node, bool) {
	n, ok := obj.(*corev1.Node)
	if !ok {
		return "", node{}, false
	}
	out := node{report: &ipamapi.KubeNode{Labels: n.Labels, Annotations: map[string]string{}}}
	for key, value := range n.Annotations {
		if !dull(key) {
			out.report.Annotations[key] = value
		}
	}
	for _, t := range n.Spec.Taints {
		out.report.Taints = append(out.report.Taints, &ipamapi.KubeTaint{Key: t.Key, Value: t.Value, Effect: string(t.Effect)})
	}
	if q, ok := n.Status.Capacity[podENI]; ok {
		out.branches = q.Value()
	}
	return n.Name, out, true
}

// pickPod keeps the pods that will ask for an address of the pool and have none.
func pickPod(obj any) (string, *ipamapi.Pod, bool) {
	p, ok := obj.(*corev1.Pod)
	if !ok {
		return "", nil, false
	}
	return p.Namespace + "/" + p.Name, &ipamapi.Pod{Namespace: p.Namespace, Name: p.Name, Uid: string(p.UID)}, willAsk(p)
}

func willAsk(p *corev1.Pod) bool {
	switch {
	case p.Spec.HostNetwork, p.DeletionTimestamp != nil, p.Status.PodIP != "",
		p.Status.Phase != corev1.PodPending && p.Status.Phase != "",
		p.Annotations[ipamapi.AnnotationPodENI] != "", p.Annotations[ipamapi.AnnotationGroups] != "":
		return false
	}
	for _, c := range p.Spec.Containers {
		if _, branch := c.Resources.Limits[podENI]; branch {
			return false // the branch is announced to it later
		}
	}
	return true
}

func pickENIConfig(obj any) (string, []byte, bool) {
	c, ok := obj.(*eniConfig)
	if !ok {
		return "", nil, false
	}
	return c.Name, c.Spec.Raw, true
}
