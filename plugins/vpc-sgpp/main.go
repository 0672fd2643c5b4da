// Command vpc-sgpp is the CNI plugin for pods with security groups of their own:
// it makes the VLAN link of the branch ENI that prevResult announces, the rules
// and routes by which the pod uses it, and brings the pod's host veth up. It
// talks to nobody and changes nothing inside the pod. A pod without a branch ENI
// passes through untouched.
package main

import (
	"os"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/vpcchain/vpcchain/pkg/cnitrace"
)

func main() {
	trace := cnitrace.New("vpc-sgpp", os.Getenv)
	skel.PluginMainFuncs(trace.Funcs(skel.CNIFuncs{Add: add, Del: del, Check: check, Status: status, GC: gc}),
		version.PluginSupports("0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"), "vpc-sgpp: branch ENIs of pods with security groups")
}
