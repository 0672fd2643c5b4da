// Command vpc-ipam is the CNI plugin that gives a pod a VPC address. It asks
// the warm-pool daemon vpc-ipamd on its unix socket and puts the answer into
// the result: first in a chain before vpc-veth, or as the IPAM delegate of
// ptp, bridge or macvlan. It touches nothing in the kernel and calls nothing
// but the daemon.
package main

import (
	"os"

	"github.com/containernetworking/cni/pkg/skel"

	"github.com/vpcchain/vpcchain/pkg/cnimain"
	"github.com/vpcchain/vpcchain/pkg/cnitrace"
)

func main() {
	p := plugin{cnitrace.New(pluginType, os.Getenv).Starts()}
	cnimain.Run(p.trace.Funcs(skel.CNIFuncs{Add: p.add, Del: p.del, Check: p.check, Status: p.status, GC: p.gc}), "vpc-ipam: VPC addresses from vpc-ipamd")
}
