// Command vpc-sgpp is the CNI plugin for pods with security groups of their own:
// it makes the VLAN link of the branch ENI that prevResult announces, the rules
// and routes by which the pod uses it, and brings the pod's host veth up. It
// talks to nobody and changes nothing inside the pod. A pod without a branch ENI
// passes through untouched.
package main

import (
	"os"

	"github.com/containernetworking/cni/pkg/skel"

	"github.com/vpcchain/vpcchain/pkg/cnimain"
	"github.com/vpcchain/vpcchain/pkg/cnitrace"
)

func main() {
	trace := cnitrace.New("vpc-sgpp", os.Getenv)
	cnimain.Run(trace.Funcs(skel.CNIFuncs{Add: add, Del: del, Check: check, Status: status, GC: gc}), "vpc-sgpp: branch ENIs of pods with security groups")
}
