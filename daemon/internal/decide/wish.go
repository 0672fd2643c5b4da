package decide

import (
	"fmt"
	"strings"
)

// Wish is how many addresses the pool is to have, and why.
type Wish struct {
	Addresses int // those in use included
	Has       int // those that are being made included
	// Setting is the one that decides; empty: none does.
	Setting string

	used, resting, waiters, demand int
	warm                           int // kept free
	warmBy                         string
	minimum, maxPods               int // 0: not what decides
}

// Wanted is the wish for the input.
func Wanted(in Input) Wish { return in.wish(in.count()) }

// wish is the goal. Without a target the pool keeps one address that is free, as
// the stock CNI does.
func (in Input) wish(c count) Wish {
	w := Wish{Has: c.total(), used: c.used, resting: c.resting, waiters: in.Waiters, demand: in.Demand}
	t := in.Targets
	switch {
	case in.Cordoned:
	case in.perIP():
		w.warm, w.warmBy = t.WarmIP, "WARM_IP_TARGET"
	case in.Prefixes:
		w.warm, w.warmBy = t.WarmPrefix*perPrefix, "WARM_PREFIX_TARGET"
	default:
		w.warm, w.warmBy = t.WarmENI*in.Limits.Secondary(), "WARM_ENI_TARGET"
	}
	busy := c.used + c.resting
	w.Addresses = busy + w.warm + in.Waiters + in.Demand
	if w.warm > 0 {
		w.Setting = w.warmBy
	}
	switch {
	case in.Cordoned:
	case in.perIP() && t.MinimumIP > w.Addresses:
		w.Addresses, w.Setting, w.minimum = t.MinimumIP, "MINIMUM_IP_TARGET", t.MinimumIP
	case !in.perIP() && w.Addresses == busy:
		w.Addresses, w.warm, w.warmBy = busy+1, 1, ""
	}
	if limit := in.maxPods(); w.Addresses > limit {
		w.Addresses, w.Setting, w.maxPods = limit, "MAX_PODS", limit
	}
	return w
}

// String is the sum.
func (w Wish) String() string {
	var parts []string
	for _, p := range []struct {
		n    int
		what string
	}{{w.used, "in use"}, {w.resting, "resting"}, {w.waiters, "that ADDs wait for"}, {w.demand, "for pods on their way"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.what))
		}
	}
	switch {
	case w.warm > 0 && w.warmBy == "":
		parts = append(parts, "1 that is free, as no target is set")
	case w.warm > 0:
		parts = append(parts, fmt.Sprintf("%d of %s", w.warm, w.warmBy))
	case w.warmBy == "":
		parts = append(parts, "none ready, as the node is cordoned")
	}
	sum := strings.Join(parts, " + ")
	if w.minimum > 0 {
		sum = fmt.Sprintf("MINIMUM_IP_TARGET %d, which is more than %s", w.minimum, orNone(sum))
	}
	if w.maxPods > 0 {
		return fmt.Sprintf("MAX_PODS %d, which is less than %s", w.maxPods, orNone(sum))
	}
	return orNone(sum)
}

func orNone(sum string) string {
	if sum == "" {
		return "none in use"
	}
	return sum
}
