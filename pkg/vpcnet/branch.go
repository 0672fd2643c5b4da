package vpcnet

import (
	"strconv"
	"strings"
)

// BranchPrefix starts the name of a branch ENI's link, and of its interface in
// a result: vlan.eth.<VLAN id>, the stock CNI's name.
const BranchPrefix = "vlan.eth."

// MaxVLAN is the highest id of IEEE 802.1Q; 0 and 4095 are reserved.
const MaxVLAN = 4094

// Priorities of the rules of a branch ENI's pod in strict mode, the stock
// CNI's. The local table moves behind them, so that packets between two pods of
// one node leave through the trunk, where security groups apply.
const (
	RuleBranch = 10 // iif <vlan link> and iif <host veth> lookup <branch table>
	RuleLocal  = 20 // from all lookup local
)

// BranchLink is the name of the branch ENI's link.
func BranchLink(vlan int) string { return BranchPrefix + strconv.Itoa(vlan) }

// ParseBranchLink is the inverse of BranchLink; ok is false for other names and
// for ids outside 1 to MaxVLAN.
func ParseBranchLink(name string) (vlan int, ok bool) {
	digits, found := strings.CutPrefix(name, BranchPrefix)
	vlan, err := strconv.Atoi(digits)
	if !found || err != nil || vlan < 1 || vlan > MaxVLAN || BranchLink(vlan) != name {
		return 0, false
	}
	return vlan, true
}

// TableBranch is the routing table of a branch: 100+id as the stock CNI has it,
// except where that would be one of the kernel's own tables 253 to 255.
func TableBranch(vlan int) int {
	if t := 100 + vlan; t < 253 || t > 255 {
		return t
	}
	return 6000 + vlan
}

// ParseTableBranch is the inverse of TableBranch; ok is false for other tables.
func ParseTableBranch(table int) (vlan int, ok bool) {
	vlan = table - 100
	if table > 6000 {
		vlan = table - 6000
	}
	return vlan, vlan >= 1 && vlan <= MaxVLAN && TableBranch(vlan) == table
}
