// Command vpc-veth is the CNI plugin that wires a pod: a veth pair, the pod's
// address and routes, and the node's route to the pod. It takes the address
// from prevResult (of vpc-ipam, or of any plugin that gives one) and calls
// nobody. It makes no ENI, no SNAT, no rule per pod, and never lists what the
// kernel has: every object is made or found by its name or index.
package main

import (
	"os"

	"github.com/containernetworking/cni/pkg/skel"

	"github.com/vpcchain/vpcchain/pkg/cnimain"
	"github.com/vpcchain/vpcchain/pkg/cnitrace"
)

func main() {
	trace := cnitrace.New("vpc-veth", os.Getenv)
	cnimain.Run(trace.Funcs(skel.CNIFuncs{Add: add, Del: del, Check: check, Status: status, GC: gc}), "vpc-veth: veth pair and routes of a pod on a VPC node")
}
