// Package timeline puts the records of the flight recorder together again: which
// of them are one call of the chain, what each plugin, RPC and EC2 call took of
// it, what it waited for, where it failed, and what began and did not end. It
// works on records alone.
package timeline

import (
	"cmp"
	"slices"
	"time"

	"github.com/vpcchain/vpcchain/pkg/flight"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// Call is one call of the chain for an attachment: an ADD, a DEL, a CHECK or a GC.
type Call struct {
	Trace      flight.TraceID
	Verb       string
	Attachment vpcnet.Attachment
	Pod        string // namespace/name
	Start      time.Time
	Duration   time.Duration // until the last end of it that is known
	Spans      []Span        // in the order of their begin, each behind what it is part of
}

// State is how a span went.
type State string

// The states.
const (
	OK     State = "ok"
	Failed State = "failed"
	Open   State = "open" // it began and has not ended: it was killed, or runs still
)

// Span is a part of a call.
type Span struct {
	flight.Record

	Depth  int  // below the plugin's, which is 0
	Shared bool // the daemon's work for all that waited; it may have begun before the call
	State  State
}

// State is that of its plugins: what an RPC or EC2 refused is an error of theirs,
// or none.
func (c Call) State() State {
	if why, bad := c.Why(); bad {
		return why.State
	}
	return OK
}

// Why is the span that the call failed in, or that is open: the first of the
// plugins'. None of a call that went well.
func (c Call) Why() (Span, bool) {
	for _, state := range []State{Failed, Open} {
		for _, s := range c.Spans {
			if s.Kind == flight.Plugin && s.State == state {
				return s, true
			}
		}
	}
	return Span{}, false
}

// Calls are those that the records tell of, in the order of their begin.
func Calls(records []flight.Record) []Call {
	spans := merge(records)
	below := map[flight.SpanID][]Span{}
	byTrace := map[flight.TraceID][]Span{}
	for _, s := range spans {
		below[s.Parent] = append(below[s.Parent], s)
		byTrace[s.Trace] = append(byTrace[s.Trace], s)
	}
	var calls []Call
	open := map[key]int{} // where in calls it is
	for _, s := range spans {
		if s.Kind != flight.Plugin {
			continue
		}
		k := key{s.Trace, s.Verb, s.Attachment}
		at, ok := open[k]
		if !ok || calls[at].has(s.Name) { // the runtime called again under the same trace
			at = len(calls)
			open[k] = at
			calls = append(calls, Call{Trace: s.Trace, Verb: s.Verb, Attachment: s.Attachment, Start: s.Start})
		}
		calls[at].add(s, below, byTrace)
	}
	return calls
}

type key struct {
	trace flight.TraceID
	verb  string
	a     vpcnet.Attachment
}

// merge makes one span of the records of its begin and its end.
func merge(records []flight.Record) []Span {
	at := map[flight.SpanID]int{}
	var spans []Span
	for _, r := range records {
		i, known := at[r.Span]
		if !known {
			i = len(spans)
			at[r.Span] = i
			spans = append(spans, Span{Record: r, State: Open})
		}
		if !r.Begin {
			spans[i].Record, spans[i].State = r, OK
			if r.Failed() {
				spans[i].State = Failed
			}
		}
	}
	slices.SortStableFunc(spans, func(a, b Span) int { return a.Start.Compare(b.Start) })
	return spans
}

func (c Call) has(plugin string) bool {
	return slices.ContainsFunc(c.Spans, func(s Span) bool { return s.Kind == flight.Plugin && s.Name == plugin })
}

// deepest ends what damaged records could make a circle of.
const deepest = 8

// add is a plugin's span with all that is below it.
func (c *Call) add(s Span, below map[flight.SpanID][]Span, byTrace map[flight.TraceID][]Span) {
	c.Pod = cmp.Or(c.Pod, s.Pod)
	c.Duration = max(c.Duration, s.End().Sub(c.Start))
	c.Spans = append(c.Spans, s)
	var parts func(of Span)
	parts = func(of Span) {
		for _, p := range below[of.Span] {
			if p.Kind == flight.Plugin || of.Depth == deepest { // a plugin's begins a line of its own
				continue
			}
			p.Depth, p.Shared = of.Depth+1, of.Shared
			c.Spans = append(c.Spans, p)
			parts(p)
		}
		for _, l := range of.Links {
			for _, p := range byTrace[l.Trace] {
				if p.Span == l.Span && of.Depth < deepest && !c.holds(p.Span) {
					p.Depth, p.Shared = of.Depth+1, true
					c.Spans = append(c.Spans, p)
					parts(p)
				}
			}
		}
	}
	parts(s)
}

func (c Call) holds(id flight.SpanID) bool {
	return slices.ContainsFunc(c.Spans, func(s Span) bool { return s.Span == id })
}

// Between is how much of the call's time none of its plugins of this project ran:
// it is the runtime's, that of the start of processes, and that of other plugins.
func (c Call) Between() time.Duration {
	idle, until := time.Duration(0), c.Start
	for _, s := range c.Spans {
		if s.Kind != flight.Plugin {
			continue
		}
		idle += max(0, s.Start.Sub(until))
		if s.End().After(until) {
			until = s.End()
		}
	}
	return idle
}
