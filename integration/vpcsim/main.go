// Command vpcsim is the VPC in a box: EC2, IMDS and the network of a VPC on one
// machine, in network namespaces that are linked to nothing else.
package main

import (
	"os"

	"github.com/vpcchain/vpcchain/integration/vpcsim/cli"
)

func main() { os.Exit(cli.Run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }
