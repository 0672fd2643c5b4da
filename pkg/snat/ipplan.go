package snat

import (
	"fmt"
	"slices"
)

// ipCommands are the iptables commands that turn what a table has of ours into
// what is wanted: new chains and rules first, then the jump to them, then what is
// old. A rule that is right is not named, so its counters stay. A chain that
// exists is never declared again, which would flush it.
func ipCommands(want ipTable, have []ipChain) []string {
	var out []string
	old := map[string][]string{}
	exists := map[string]bool{}
	for _, c := range have {
		old[c.name], exists[c.name] = c.rules, true
	}
	wanted := map[string]bool{}
	for _, c := range want.chains {
		wanted[c.name] = true
		if !exists[c.name] {
			out = append(out, "-N "+c.name)
		}
	}
	// The last chain first: a chain that gets its rules is complete below.
	for _, c := range slices.Backward(want.chains) {
		out = append(out, chainCommands(c.name, c.rules, old[c.name])...)
	}
	for _, name := range []string{"PREROUTING", "POSTROUTING"} {
		out = append(out, builtinCommands(name, want.builtin[name], old[name])...)
	}
	var stale []string
	for _, c := range have {
		if ownChain(c.name) && !wanted[c.name] {
			stale = append(stale, c.name)
		}
	}
	// All emptied before any goes: they may lead to one another.
	for _, name := range stale {
		out = append(out, "-F "+name)
	}
	for _, name := range stale {
		out = append(out, "-X "+name)
	}
	return out
}

// builtinCommands leave the wanted rules in a chain of the kernel's, each once,
// and no other of ours. Others' rules are not touched.
func builtinCommands(chain string, want, have []string) []string {
	var out []string
	keep := map[int]bool{}
	for _, w := range want {
		if i := slices.Index(have, w); i >= 0 {
			keep[i] = true
			continue
		}
		// Behind the others: portmap and kube-proxy masquerade what is theirs first.
		out = append(out, "-A "+chain+" "+w)
	}
	// From the last, so that the numbers before it stay true.
	for i, r := range slices.Backward(have) {
		if ownRule(r) && !keep[i] {
			out = append(out, fmt.Sprintf("-D %s %d", chain, i+1))
		}
	}
	return out
}

// chainCommands turn one list of rules into another: what both have in the same
// order stays, what is new goes in beside it, then what is old goes.
func chainCommands(chain string, want, have []string) []string {
	var inserts, deletes []string
	keep := common(want, have)
	merged := 0 // rules in the kernel before the place where we are
	i, j := 0, 0
	var stale []int // numbers of old rules once all inserts are done
	for i < len(want) || j < len(have) {
		switch {
		case i < len(want) && j < len(have) && keep[j] == i:
			i, j, merged = i+1, j+1, merged+1
		case i < len(want) && !slices.Contains(keep[j:], i):
			merged++
			inserts = append(inserts, fmt.Sprintf("-I %s %d %s", chain, merged, want[i]))
			i++
		default:
			merged++
			stale = append(stale, merged)
			j++
		}
	}
	for _, n := range slices.Backward(stale) {
		deletes = append(deletes, fmt.Sprintf("-D %s %d", chain, n))
	}
	return append(inserts, deletes...)
}

// common is the longest common subsequence: for each of have the index in want
// of the rule that it stays as, or -1.
func common(want, have []string) []int {
	length := make([][]int, len(want)+1)
	for i := range length {
		length[i] = make([]int, len(have)+1)
	}
	for i, w := range slices.Backward(want) {
		for j := len(have) - 1; j >= 0; j-- {
			if w == have[j] {
				length[i][j] = length[i+1][j+1] + 1
			} else {
				length[i][j] = max(length[i+1][j], length[i][j+1])
			}
		}
	}
	keep := make([]int, len(have))
	for j := range keep {
		keep[j] = -1
	}
	for i, j := 0, 0; i < len(want) && j < len(have); {
		switch {
		case want[i] == have[j]:
			keep[j] = i
			i, j = i+1, j+1
		case length[i+1][j] >= length[i][j+1]:
			i++
		default:
			j++
		}
	}
	return keep
}
