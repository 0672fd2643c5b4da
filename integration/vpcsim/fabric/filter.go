package fabric

import (
	"bytes"
	"fmt"
	"os/exec"
	"strings"

	"github.com/vpcchain/vpcchain/integration/vpcsim/netns"
	"github.com/vpcchain/vpcchain/integration/vpcsim/network"
)

// Why the VPC refuses a packet. The number travels in the packet mark to the
// chain that writes it down.
const (
	SourceCheck = iota + 1
	NoAddress
	EgressGroup
	IngressGroup
	NoRoute
	NoPublicSource
	NoPublicDest
	SourceMAC
)

func reasonText(mark int) string {
	switch mark {
	case SourceCheck:
		return "source check: the sender's ENI does not have the source address"
	case NoAddress:
		return "no such address: no ENI of the VPC has the destination"
	case EgressGroup:
		return "security group: egress of the sender's ENI"
	case IngressGroup:
		return "security group: ingress of the receiver's ENI"
	case NoRoute:
		return "no route: the subnet's route table has none to the destination"
	case NoPublicSource:
		return "internet gateway: the source has no public address"
	case NoPublicDest:
		return "internet gateway: the destination is no public address of the VPC"
	case SourceMAC:
		return "source check: the frame does not have the MAC of the sender's branch ENI"
	}
	return fmt.Sprintf("reason %d", mark)
}

// EC2 forgets an idle tracked flow after 350 s; for ICMP and UDP it is less,
// which no test waits for.
const flowTimeout = "350s"

// static is what never changes: the sets that live as long as the fabric
// (tracked flows, refused packets) and the chains that use them. A flow is
// tracked per ENI, local side first, as EC2 does: a reply that leaves by
// another ENI than its request came in by is a new flow there. nft lists a key
// of more than five fields wrongly, so the refused packets have a set per protocol.
// The internet gateway rewrites without state: a lookup that finds nothing ends
// its rule, and the next one refuses. Inside, everything sees private addresses.
const static = `
add table ip vpc
add set ip vpc flows { type ifname . ipv4_addr . ipv4_addr . inet_proto . inet_service . inet_service; flags dynamic,timeout; timeout ` + flowTimeout + `; size 262144; }
add set ip vpc pings { typeof iifname . ip saddr . ip daddr . icmp id; flags dynamic,timeout; timeout 60s; size 65536; }
add set ip vpc refused_tcp { type mark . ifname . ipv4_addr . ipv4_addr . inet_service; flags dynamic,timeout; timeout 1d; size 65536; counter; }
add set ip vpc refused_udp { type mark . ifname . ipv4_addr . ipv4_addr . inet_service; flags dynamic,timeout; timeout 1d; size 65536; counter; }
add set ip vpc refused_other { type mark . ifname . ipv4_addr . ipv4_addr . inet_proto; flags dynamic,timeout; timeout 1d; size 65536; counter; }
add set ip vpc known { type ipv4_addr; }
add map ip vpc source { type ifname : verdict; }
add map ip vpc egress { type ifname : verdict; }
add map ip vpc ingress { type ifname : verdict; }
add set ip vpc internet { type ifname; }
add map ip vpc public { type ipv4_addr : ipv4_addr; }
add map ip vpc private { type ipv4_addr : ipv4_addr; }
add chain ip vpc prerouting { type filter hook prerouting priority -10; policy accept; }
add chain ip vpc input { type filter hook input priority 0; policy drop; }
add chain ip vpc forward { type filter hook forward priority 0; policy drop; }
add chain ip vpc inside
add chain ip vpc refuse_from
add chain ip vpc refuse_to
add chain ip vpc no_source
add chain ip vpc no_address
add chain ip vpc no_egress
add chain ip vpc no_ingress
add chain ip vpc no_route
add chain ip vpc no_public_source
add chain ip vpc no_public_dest
add chain ip vpc no_mac
add chain ip vpc to_internet
add chain ip vpc from_internet
add chain ip vpc out
add chain ip vpc in
add chain ip vpc out_track
add chain ip vpc in_track
flush chain ip vpc prerouting
flush chain ip vpc input
flush chain ip vpc forward
flush chain ip vpc refuse_from
flush chain ip vpc refuse_to
flush chain ip vpc no_source
flush chain ip vpc no_address
flush chain ip vpc no_egress
flush chain ip vpc no_ingress
flush chain ip vpc no_route
flush chain ip vpc no_public_source
flush chain ip vpc no_public_dest
flush chain ip vpc no_mac
flush chain ip vpc to_internet
flush chain ip vpc from_internet
flush chain ip vpc out
flush chain ip vpc in
flush chain ip vpc out_track
flush chain ip vpc in_track
add rule ip vpc refuse_from ip protocol tcp update @refused_tcp { meta mark . iifname . ip saddr . ip daddr . tcp dport } drop
add rule ip vpc refuse_from ip protocol udp update @refused_udp { meta mark . iifname . ip saddr . ip daddr . udp dport } drop
add rule ip vpc refuse_from update @refused_other { meta mark . iifname . ip saddr . ip daddr . meta l4proto } drop
add rule ip vpc refuse_to ip protocol tcp update @refused_tcp { meta mark . oifname . ip saddr . ip daddr . tcp dport } drop
add rule ip vpc refuse_to ip protocol udp update @refused_udp { meta mark . oifname . ip saddr . ip daddr . udp dport } drop
add rule ip vpc refuse_to update @refused_other { meta mark . oifname . ip saddr . ip daddr . meta l4proto } drop
add rule ip vpc no_source meta mark set 1 goto refuse_from
add rule ip vpc no_address meta mark set 2 goto refuse_from
add rule ip vpc no_egress meta mark set 3 goto refuse_from
add rule ip vpc no_ingress meta mark set 4 goto refuse_to
add rule ip vpc no_route meta mark set 5 goto refuse_from
add rule ip vpc no_public_source meta mark set 6 goto refuse_from
add rule ip vpc no_public_dest meta mark set 7 goto refuse_from
add rule ip vpc no_mac meta mark set 8 goto refuse_from
add rule ip vpc prerouting iifname @internet jump from_internet
add rule ip vpc prerouting iifname "p*" iifname vmap @source
add rule ip vpc prerouting jump inside
add rule ip vpc prerouting iifname "p*" ip daddr != 169.254.0.0/16 goto out
add rule ip vpc input iifname "lo" accept
add rule ip vpc input iifname "p*" ip daddr { 169.254.169.254, 169.254.169.249 } accept
add rule ip vpc forward oifname "void0" goto no_route
add rule ip vpc forward oifname "p*" jump in
add rule ip vpc forward oifname @internet goto to_internet
add rule ip vpc forward accept
add rule ip vpc to_internet ip saddr set ip saddr map @public accept
add rule ip vpc to_internet goto no_public_source
add rule ip vpc from_internet ip daddr set ip daddr map @private return
add rule ip vpc from_internet goto no_public_dest
add rule ip vpc out iifname . ip saddr . ip daddr . meta l4proto . th sport . th dport @flows return
add rule ip vpc out iifname . ip saddr . ip daddr . icmp id @pings return
add rule ip vpc out icmp type { destination-unreachable, time-exceeded, parameter-problem } return
add rule ip vpc out iifname vmap @egress
add rule ip vpc out goto no_egress
add rule ip vpc out_track meta l4proto { tcp, udp } update @flows { iifname . ip saddr . ip daddr . meta l4proto . th sport . th dport }
add rule ip vpc out_track ip protocol icmp update @pings { iifname . ip saddr . ip daddr . icmp id }
add rule ip vpc out_track accept
add rule ip vpc in oifname . ip daddr . ip saddr . meta l4proto . th dport . th sport @flows accept
add rule ip vpc in oifname . ip daddr . ip saddr . icmp id @pings accept
add rule ip vpc in icmp type { destination-unreachable, time-exceeded, parameter-problem } accept
add rule ip vpc in oifname vmap @ingress
add rule ip vpc in goto no_ingress
add rule ip vpc in_track meta l4proto { tcp, udp } update @flows { oifname . ip daddr . ip saddr . meta l4proto . th dport . th sport }
add rule ip vpc in_track ip protocol icmp update @pings { oifname . ip daddr . ip saddr . icmp id }
add rule ip vpc in_track accept
`

// filter loads the ruleset in one transaction, if it has changed. Sets of flows
// and of refused packets are left alone.
func (f *Fabric) filter(v network.VPC) error {
	want := script(v) + internet(v, f.external)
	if want == f.script {
		return nil
	}
	var chains []string
	for _, p := range v.Ports {
		chains = append(chains, portName(p))
	}
	text := want + dropChains(f.chains, chains)
	if f.script == "" {
		text = static + want
	}
	if err := f.nft(text); err != nil {
		return err
	}
	f.script, f.chains = want, chains
	return nil
}

func (f *Fabric) nft(text string) error {
	return netns.Do(f.ns, func() error {
		cmd := exec.Command("nft", "-f", "-")
		cmd.Stdin = strings.NewReader(text)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("loading the ruleset: %w: %s", err, stderr.String())
		}
		return nil
	})
}
