package fleet

import (
	"slices"
	"time"

	"github.com/vpcchain/vpcchain/integration/vpcsim/ideal"
)

// perENI is how many addresses or prefixes an ENI takes beside its own address.
const perENI = 29

// warm is how many addresses the settings want beside those of the pods: an ENI's
// or a prefix's.
func (w *world) warm() int {
	if w.perPiece > 1 {
		return w.perPiece
	}
	return perENI
}

// ideal is the plan of somebody who knows everything, for a node that is alone.
func (w *world) ideal(pods int) ideal.Plan {
	p, err := ideal.For(ideal.Node{ENIs: 8, PerENI: perENI, PerPiece: w.perPiece, Burst: burst, PerSecond: perSecond}, latencies(), pods)
	if err != nil {
		w.fail("%v", err)
	}
	return p
}

// least is in how much time all nodes can have addresses for their first pods if
// nothing else is asked of EC2 and no token is lost: the last node's call of an
// API waits until the bucket has given as many tokens, and what comes after the
// call in its plan takes its time.
func (w *world) least(pods int) time.Duration {
	plan := w.ideal(pods)
	out, calls := plan.Served, plan.Calls()
	rest := time.Duration(0)
	for _, step := range slices.Backward(plan.Critical()) {
		rest += step.End - step.Begin
		if over := calls[step.What]*len(w.nodes) - burst; step.What != ideal.Link && over > 0 {
			out = max(out, time.Duration(over)*time.Second/perSecond+rest)
		}
	}
	return out
}
