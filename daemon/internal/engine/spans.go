package engine

import (
	"context"
	"fmt"
)

// Spans hears what takes time, for the traces of the ADDs that wait for it.
type Spans interface {
	// Work is an action of the loop; EC2 calls with the context belong to it.
	Work(ctx context.Context, kind, text string) (_ context.Context, ended func(error))
	// Wait is the time in which the request of ctx waits.
	Wait(ctx context.Context, what, text string) (ended func(error))
}

// work is Spans.Work, if anybody hears.
func (e *Engine) work(ctx context.Context, kind, text string) (context.Context, func(error)) {
	if e.Spans == nil {
		return ctx, func(error) {}
	}
	return e.Spans.Work(ctx, kind, text)
}

// wait is Spans.Wait, if anybody hears.
func (e *Engine) wait(ctx context.Context, what, text string) func(error) {
	if e.Spans == nil {
		return func(error) {}
	}
	return e.Spans.Wait(ctx, what, text)
}

// place is where in the queue somebody begins to wait.
func place(waiters int) string {
	if waiters <= 1 {
		return "no address is free"
	}
	return fmt.Sprintf("no address is free, and %d ADDs wait already", waiters-1)
}
