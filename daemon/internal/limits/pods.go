package limits

import (
	"strconv"
	"strings"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
)

// Mode is how a node gives addresses to pods.
type Mode struct {
	Prefixes bool // by delegated /28 prefixes
	Custom   bool // none of the primary ENI
	Trunk    bool // one ENI carries the branch ENIs instead
}

// Capacity is what a type carries in a mode.
type Capacity struct {
	ENIs      int // that have addresses for pods
	PerENI    int // addresses for pods on each
	Addresses int // of all
	// Pods are with those of the node's own network: of a DaemonSet each, this
	// one's and kube-proxy.
	Pods int
	// Kubelet is the maximum of pods that AWS recommends to give the kubelet: Pods,
	// and no more than 110, or 250 from 30 vCPUs on (EKS User Guide, "Maximum Pods
	// per node").
	Kubelet int
}

// hostPods is how many pods of the node's own network the formula of AWS counts.
const hostPods = 2

// For computes it. In prefix mode a type on Xen has none: EC2 delegates it no prefixes.
func For(l eni.Limits, instanceType string, m Mode) Capacity {
	c := Capacity{ENIs: l.ENIs, PerENI: l.Secondary()}
	if m.Custom {
		c.ENIs--
	}
	if m.Trunk && l.Branches > 0 {
		c.ENIs--
	}
	c.ENIs = max(c.ENIs, 0)
	if m.Prefixes {
		c.PerENI *= 1 << (32 - eni.PrefixBits)
		if !l.Prefixes() {
			c.PerENI = 0
		}
	}
	c.Addresses = c.ENIs * c.PerENI
	if c.Addresses > 0 {
		c.Pods = c.Addresses + hostPods
	}
	c.Kubelet = min(c.Pods, 110)
	if large(instanceType) {
		c.Kubelet = min(c.Pods, 250)
	}
	return c
}

// large tells whether a type has 30 vCPUs or more, by its size: 8xlarge and what is
// above it, and bare metal. The smallest 8xlarge of the table has 32.
func large(instanceType string) bool {
	family, size, _ := strings.Cut(instanceType, ".")
	if strings.HasPrefix(size, "metal") {
		return family != "a1" && !strings.HasPrefix(family, "mac") // those have 16 and fewer
	}
	times, ok := strings.CutSuffix(size, "xlarge")
	n, err := strconv.Atoi(times)
	return ok && err == nil && n >= 8
}
