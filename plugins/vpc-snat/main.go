// Command vpc-snat is the CNI plugin for the way of a pod's traffic out of the
// VPC: the AWS-SNAT-CHAIN, or nothing of it with externalSNAT, and the mark that
// sends internet traffic out by the primary ENI. There is nothing per pod: ADD
// makes sure that the node is right, which on a right node is two requests to
// the kernel, and passes prevResult on unchanged; DEL does nothing.
package main

import (
	"os"

	"github.com/containernetworking/cni/pkg/skel"

	"github.com/vpcchain/vpcchain/pkg/cnimain"
	"github.com/vpcchain/vpcchain/pkg/cnitrace"
)

func main() {
	trace := cnitrace.New("vpc-snat", os.Getenv)
	cnimain.Run(trace.Funcs(skel.CNIFuncs{Add: add, Del: del, Check: check, Status: status, GC: gc}), "vpc-snat: outbound NAT of a VPC node")
}
