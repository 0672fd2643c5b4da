// Package vpcnet holds the names and numbers that the plugins and the daemon
// agree on: rule priorities, route tables, the host veth name and its alias,
// and the arithmetic of VPC subnets. It is a leaf: standard library only.
package vpcnet

import (
	"crypto/sha1" //nolint:gosec // a name, not a secret: Calico and the stock CNI use the same hash
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
)

// Priorities of the policy routing rules. 512, 1024, 1535, 1536 and 32765 are
// those of the stock AWS VPC CNI, so that a node can switch over.
const (
	RulePods     = 512   // from all lookup TablePods: one rule for all pods
	RuleMark     = 1024  // fwmark 0x80/0x80 lookup main
	RuleExternal = 1535  // to <AWS_EXTERNAL_SERVICE_CIDRS> lookup main
	RuleFrom     = 1536  // from <pod address or prefix> lookup <ENI table>
	RuleENI      = 32765 // from <ENI primary address> lookup <ENI table>
)

// TablePods is the routing table with one /32 (or /128) route per pod. It lies
// clear of the ENI tables (2…, 10000…) and of the branch tables (100…, 6000…).
const TablePods = 5120

// TableMain is the kernel's main table (RT_TABLE_MAIN); the primary ENI uses it.
const TableMain = 254

// RouteProtocol marks the routes and rules of this project (rtm_protocol), so
// that `ip route show table all proto 86` and `ip rule` tell them from others'.
const RouteProtocol = 86

// VethPrefix is the default prefix of host veth names, the stock CNI's.
const VethPrefix = "eni"

// ENIMTU is the MTU of an ENI inside a VPC, in bytes (EC2 User Guide, jumbo frames).
const ENIMTU = 9001

// PodGateway is the next hop of every pod: link-local, answered by nobody,
// and resolved by a permanent neighbour entry in the pod.
func PodGateway() netip.Addr { return netip.AddrFrom4([4]byte{169, 254, 1, 1}) }

// Attachment names one interface of one container on one network. It is the
// key of every allocation, as the CNI spec asks.
type Attachment struct {
	Network     string `json:"network"`
	ContainerID string `json:"containerID"`
	IfName      string `json:"ifname"`
}

// MaxAlias is the longest alias that the kernel keeps (IFALIASZ-1).
const MaxAlias = 255

// Alias is what the host veth's ifalias holds: <network>/<containerID>/<ifname>.
// None of the three may contain a slash; CNI forbids it in all of them.
func (a Attachment) Alias() string {
	return a.Network + "/" + a.ContainerID + "/" + a.IfName
}

// String is the alias.
func (a Attachment) String() string { return a.Alias() }

// ParseAlias is the inverse of Alias; ok is false for a foreign alias.
func ParseAlias(alias string) (a Attachment, ok bool) {
	parts := strings.Split(alias, "/")
	if len(parts) != 3 || parts[0] == "" || parts[1] == "" || parts[2] == "" {
		return Attachment{}, false
	}
	return Attachment{Network: parts[0], ContainerID: parts[1], IfName: parts[2]}, true
}

// HostVethName is the name of the host end: prefix + the first 11 hex digits of
// sha1. For a pod's eth0 that is sha1("namespace.name"), the name that Calico
// and the stock CNI give; for its other interfaces sha1("namespace.name.ifname");
// without a pod name, sha1(containerID+ifname). A prefix of up to 4 characters
// keeps it within the kernel's 15.
func HostVethName(prefix, podNamespace, podName, containerID, ifname string) string {
	key := containerID + ifname
	if podName != "" {
		key = podNamespace + "." + podName
		if ifname != "eth0" {
			key += "." + ifname
		}
	}
	sum := sha1.Sum([]byte(key)) //nolint:gosec // a name, not a secret
	return prefix + hex.EncodeToString(sum[:])[:11]
}

// ENITable is the routing table of an ENI: main for device 0 of card 0, d+1 for
// device d of card 0, and 10000+100k+d for device d of card k, as the stock CNI.
func ENITable(card, device int) int {
	switch {
	case card > 0:
		return 10000 + 100*card + device
	case device == 0:
		return TableMain
	default:
		return device + 1
	}
}

// Router is the VPC router of a subnet: its base address plus one
// (VPC User Guide, "Subnet sizing").
func Router(subnet netip.Prefix) netip.Addr { return subnet.Masked().Addr().Next() }

// Host returns the single-address prefix of a: /32 or /128.
func Host(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// CheckVethPrefix says why p cannot be the prefix of host veth names, or nil.
func CheckVethPrefix(p string) error {
	switch {
	case p == "" || len(p) > 4:
		return fmt.Errorf("veth prefix %q: 1 to 4 characters are allowed", p)
	case p == "eth" || p == "vlan" || p == "lo":
		return fmt.Errorf("veth prefix %q: eth, vlan and lo belong to other links", p)
	}
	return nil
}
