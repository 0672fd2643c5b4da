package cnierr

import (
	"errors"
	"fmt"
	"testing"

	"github.com/containernetworking/cni/pkg/types"
)

func TestFrom(t *testing.T) {
	plain := errors.New("plain")
	for _, tc := range []struct {
		err  error
		code uint
		text string
	}{
		{plain, 999, "plain"},
		{New(Config, "key %s", "mtu"), 7, "key mtu"},
		{fmt.Errorf("adding: %w", As(TryAgain, plain)), 11, "adding: plain"},
		{As(IO, fmt.Errorf("outer: %w", New(Netns, "inner"))), 8, "outer: inner"},
		{New(NotAvailable, "down"), 50, "down"},
		{New(Limited, "slow"), 51, "slow"},
	} {
		var e *types.Error
		if !errors.As(From(tc.err), &e) || e.Code != tc.code || e.Msg != tc.text {
			t.Errorf("From(%v) = %+v, want code %d", tc.err, e, tc.code)
		}
	}
	if From(nil) != nil || As(Config, nil) != nil {
		t.Error("nil does not stay nil")
	}
}
