// Package tracing writes what vpc-ipamd does into the node's flight recorder: the
// calls of plugins, what they wait for, the actions of the loop and the calls of
// EC2; and exports the recorder's spans, the plugins' too, to a collector that
// speaks OTLP.
//
// What the daemon does for the pool it does for nobody in particular: an action
// or an EC2 call outside of one is a trace of its own, and an ADD that waits is
// linked to all those that were under way meanwhile.
package tracing

import (
	"context"
	"sync"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/cloud"
	"github.com/vpcchain/vpcchain/pkg/flight"
)

// Tracer writes to a recorder. Its methods may be called concurrently.
type Tracer struct {
	recorder flight.Recorder

	mu    sync.Mutex
	work  map[flight.SpanID]flight.Traceparent // of the daemon, under way
	waits map[*waiting]bool
}

// waiting is a wait under way.
type waiting struct{ links []flight.Traceparent }

// New is a tracer for the recorder, whose directory it makes. Without one there
// are no records, and nothing else is different: the error is for the log.
func New(r flight.Recorder) (*Tracer, error) {
	t := &Tracer{recorder: r, work: map[flight.SpanID]flight.Traceparent{}, waits: map[*waiting]bool{}}
	return t, r.Make()
}

// begin is a span of work below that of ctx. Without one it is for whoever waits.
func (t *Tracer) begin(ctx context.Context, r flight.Record) flight.Record {
	r.Start, r.Traceparent, r.Parent = time.Now(), flight.ChildOf(ctx), flight.From(ctx).Span
	if !r.Parent.IsZero() {
		return r
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.work[r.Span] = r.Traceparent
	for w := range t.waits {
		w.link(r.Traceparent)
	}
	return r
}

// link keeps the last ones: they are what the wait ended with.
func (w *waiting) link(s flight.Traceparent) {
	if w.links = append(w.links, s); len(w.links) > flight.MaxLinks {
		w.links = w.links[1:]
	}
}

func (t *Tracer) end(r flight.Record) {
	t.mu.Lock()
	delete(t.work, r.Span)
	t.mu.Unlock()
	r.Duration = max(time.Since(r.Start), 1)
	t.recorder.Write(r)
}

// The codes of errors that have none of their own.
const (
	failed = "error"
	gaveUp = "gave up"
)

// Work is an action of that kind, in words; ended is called once, with its error.
// EC2 calls with the context are below it.
func (t *Tracer) Work(ctx context.Context, kind, text string) (_ context.Context, ended func(error)) {
	r := t.begin(ctx, flight.Record{Kind: flight.Action, Name: kind, Text: text})
	return flight.With(ctx, r.Traceparent), func(err error) {
		if err != nil {
			r.Code, r.Error = failed, err.Error()
		}
		t.end(r)
	}
}

// Call is a call of EC2's API; it fits cloud.Options.Trace.
func (t *Tracer) Call(ctx context.Context, api string) (ended func(cloud.Outcome)) {
	r := t.begin(ctx, flight.Record{Kind: flight.EC2, Name: api})
	return func(o cloud.Outcome) {
		r.RequestID, r.Attempts = o.RequestID, o.Attempts
		if o.Err != nil {
			r.Code, r.Error = o.Code, o.Err.Error()
		}
		t.end(r)
	}
}

// shortWait is one that nobody would look for.
const shortWait = time.Millisecond

// Wait is the time in which a request, that of ctx, waits for something. Its
// record has links to what the daemon did meanwhile; a short one has none.
func (t *Tracer) Wait(ctx context.Context, what, text string) (ended func(error)) {
	w := &waiting{}
	start := time.Now()
	t.mu.Lock()
	for _, s := range t.work {
		w.link(s)
	}
	t.waits[w] = true
	t.mu.Unlock()
	return func(err error) {
		t.mu.Lock()
		delete(t.waits, w)
		t.mu.Unlock()
		took := time.Since(start)
		if took < shortWait && err == nil {
			return
		}
		r := flight.Record{
			Traceparent: flight.ChildOf(ctx), Parent: flight.From(ctx).Span, Kind: flight.Wait, Name: what, Text: text,
			Start: start, Duration: took, Links: w.links,
		}
		if err != nil {
			r.Code = gaveUp // why is in the request's record
		}
		t.recorder.Write(r)
	}
}
