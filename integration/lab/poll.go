package lab

import (
	"context"
	"errors"
	"time"
)

type permanentError struct{ error }

func (e permanentError) Unwrap() error { return e.error }

// Permanent marks an error that Poll need not wait out.
func Permanent(err error) error { return permanentError{err} }

// Poll calls f every 20 ms until it succeeds, fails permanently, or ctx ends;
// then it returns f's last error.
func Poll(ctx context.Context, f func() error) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f()
		var stop permanentError
		if err == nil || errors.As(err, &stop) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}
