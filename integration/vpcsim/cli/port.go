package cli

import (
	"fmt"

	"github.com/vpcchain/vpcchain/integration/vpcsim/network"
)

// portLine is an attached ENI in `vpcsim topology`: what it is, where it is, and
// of a branch the VLAN of its trunk's link.
func portLine(p network.Port) string {
	what, where := "ENI", p.Link
	switch {
	case p.VLAN != 0:
		what, where = "branch", fmt.Sprintf("%s vlan %d", p.Link, p.VLAN)
	case p.Kind == "trunk":
		what = "trunk"
	}
	return fmt.Sprintf("  %-8s %s %s of %-9s %-16s +%d addresses", what, p.ENI, where, p.Host, p.Primary, len(p.Addresses)+16*len(p.Prefixes))
}
