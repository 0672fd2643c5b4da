// Package ideal is the perfect plan by which a node with no address at all gets
// those for a burst of pods: made by somebody who knows at the first moment how
// many pods come, and how long EC2 takes. What a real daemon does is measured
// against it.
//
// What EC2 allows is this. Calls about different ENIs run side by side; those
// about one ENI one after the other, since each needs the answer of the one
// before: create, attach, then the link that appears and, beside it, the mark
// that lets the ENI end with its instance. CreateNetworkInterface takes the
// addresses along; the primary ENI needs one AssignPrivateIpAddresses. Of one API
// Burst calls may begin at once, then PerSecond. An instance has at most ENIs
// network interfaces with PerENI addresses or prefixes beside each one's own.
package ideal

import (
	"fmt"
	"strings"
	"time"
)

// Node is what the instance and the account may do.
type Node struct {
	ENIs      int // network interfaces at most, the primary one included
	PerENI    int // secondary addresses or prefixes of each
	PerPiece  int // addresses that such a piece has: 1, or 16 for a /28 prefix
	Burst     int // calls of one API at once (EC2 Developer Guide, "Request throttling": 50 for those that change something)
	PerSecond int // and afterwards (5)
}

// Latencies of EC2's calls, and of the link that an attachment brings.
type Latencies struct {
	Create, Attach, Mark, Assign, Link time.Duration
}

// Step is a call, or the wait for a link.
type Step struct {
	What       string // the API, or Link
	ENI        int    // 0 is the primary one
	Pieces     int    // addresses or prefixes that it brings
	Begin, End time.Duration
}

// The steps' names.
const (
	Create = "CreateNetworkInterface"
	Attach = "AttachNetworkInterface"
	Mark   = "ModifyNetworkInterfaceAttribute"
	Assign = "AssignPrivateIpAddresses"
	Link   = "link"
)

// Plan is the steps; the last pod has its address at Served.
type Plan struct {
	Steps  []Step
	Served time.Duration
}

// For makes the plan for so many pods. More than the instance carries is an error.
func For(n Node, l Latencies, pods int) (Plan, error) {
	pieces := (pods + n.PerPiece - 1) / n.PerPiece
	if pieces > n.ENIs*n.PerENI {
		return Plan{}, fmt.Errorf("%d pods: the instance carries %d", pods, n.ENIs*n.PerENI*n.PerPiece)
	}
	var p Plan
	made := map[string]int{} // calls of an API so far
	step := func(what string, eni, pieces int, ready, takes time.Duration) time.Duration {
		begin := ready
		if what != Link {
			if over := made[what] - n.Burst + 1; over > 0 {
				begin = max(begin, time.Duration(over)*time.Second/time.Duration(n.PerSecond))
			}
			made[what]++
		}
		p.Steps = append(p.Steps, Step{what, eni, pieces, begin, begin + takes})
		return begin + takes
	}
	for eni := 0; pieces > 0; eni++ {
		k := min(pieces, n.PerENI)
		pieces -= k
		if eni == 0 {
			p.Served = max(p.Served, step(Assign, eni, k, 0, l.Assign))
			continue
		}
		attached := step(Attach, eni, 0, step(Create, eni, k, 0, l.Create), l.Attach)
		step(Mark, eni, 0, attached, l.Mark)
		p.Served = max(p.Served, step(Link, eni, 0, attached, l.Link))
	}
	return p, nil
}

// Calls are how often the plan calls each API.
func (p Plan) Calls() map[string]int {
	out := map[string]int{}
	for _, s := range p.Steps {
		if s.What != Link {
			out[s.What]++
		}
	}
	return out
}

// Critical are the steps of the ENI whose pods are served last.
func (p Plan) Critical() []Step {
	last := -1
	for _, s := range p.Steps {
		if s.End == p.Served && (s.What == Link || s.What == Assign) {
			last = s.ENI
			break
		}
	}
	var out []Step
	for _, s := range p.Steps {
		if s.ENI == last && s.What != Mark {
			out = append(out, s)
		}
	}
	return out
}

// String is the critical path in words.
func (p Plan) String() string {
	var parts []string
	for _, s := range p.Critical() {
		name, _, _ := strings.Cut(strings.ToLower(s.What[:1])+s.What[1:], "Network")
		name, _, _ = strings.Cut(name, "Private")
		parts = append(parts, fmt.Sprintf("%s %s", name, s.End-s.Begin))
	}
	return fmt.Sprintf("%s: %s", p.Served, strings.Join(parts, " + "))
}
