package fabric

import (
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"

	"github.com/vpcchain/vpcchain/integration/vpcsim/netns"
	"github.com/vpcchain/vpcchain/integration/vpcsim/network"
)

// internet is the part of the ruleset about the internet gateway: its links,
// and which private address has which public one.
func internet(v network.VPC, external []External) string {
	var b strings.Builder
	for _, s := range []string{"set ip vpc internet", "map ip vpc public", "map ip vpc private"} {
		fmt.Fprintf(&b, "flush %s\n", s)
	}
	for _, e := range external {
		if e.Internet {
			fmt.Fprintf(&b, "add element ip vpc internet { \"%s\" }\n", portLink("x", e.Name))
		}
	}
	for _, p := range v.Ports {
		// In the order of the port's addresses, so that the same plan is the same text.
		for _, a := range append([]netip.Addr{p.Primary}, p.Addresses...) {
			if public, ok := p.PublicIPs[a]; ok {
				fmt.Fprintf(&b, "add element ip vpc public { %s : %s }\nadd element ip vpc private { %s : %s }\n", a, public, public, a)
			}
		}
	}
	return b.String()
}

// MakeNATGateway turns a booted host into a NAT gateway with the address ip. It
// keeps its connections in its own namespace, apart from the router's; what is
// not the reply to one of them does not get in.
func MakeNATGateway(ns string, ip netip.Addr) error {
	return netns.Do(ns, func() error {
		var errs []error
		for path, value := range map[string]string{
			"ip_forward": "1", "conf/all/rp_filter": "0", "conf/eth0/rp_filter": "0",
			// In and out by the same link, which is no detour here.
			"conf/all/send_redirects": "0", "conf/eth0/send_redirects": "0",
		} {
			errs = append(errs, sysctl("net/ipv4/"+path, value))
		}
		if err := errors.Join(errs...); err != nil {
			return err
		}
		cmd := exec.Command("nft", "-f", "-")
		cmd.Stdin = strings.NewReader(fmt.Sprintf(natRules, ip))
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("loading the NAT gateway's rules: %w: %s", err, out)
		}
		return nil
	})
}

const natRules = `
add table ip natgw
add chain ip natgw postrouting { type nat hook postrouting priority srcnat; policy accept; }
add chain ip natgw input { type filter hook input priority filter; policy drop; }
add rule ip natgw postrouting oifname "eth0" snat to %s
add rule ip natgw input iifname "lo" accept
add rule ip natgw input ct state established,related accept
`
