package intent

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
)

// What went back is not believed to be there, over a restart too, until EC2 must
// know; what EC2 refused to take is there at once.
func TestReturned(t *testing.T) {
	addr, block := netip.MustParseAddr("10.0.0.7"), netip.MustParsePrefix("10.0.1.0/28")
	answer := []eni.ENI{
		{ID: "eni-1", Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.6"), addr}, Prefixes: []netip.Prefix{block}},
		{ID: "eni-2", Addresses: []netip.Addr{addr}}, // given to another ENI meanwhile
	}
	for _, tc := range []struct {
		name    string
		err     error
		restart bool
		hidden  time.Duration
	}{
		{"taken", nil, false, unseen},
		{"taken, and restarted", nil, true, unseen},
		{"no answer", eni.ErrNoAnswer, false, unseen},
		{"refused", errors.New("not allowed"), false, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				k := w.boot(t)
				listed := func() bool {
					got := k.Without(answer, time.Now())
					both := slices.Contains(got[0].Addresses, addr) && len(got[0].Prefixes) == 1
					if neither := len(got[0].Addresses) == 1 && len(got[0].Prefixes) == 0; both == neither || len(got[1].Addresses) != 1 {
						t.Errorf("believed: %v", got)
					}
					return both
				}
				ended, err := k.Return("eni-1", []netip.Addr{addr}, []netip.Prefix{block})
				must(t, err)
				time.Sleep(time.Hour) // a call that goes on
				if listed() || len(w.disk) != 1 {
					t.Errorf("believed while it goes on; on disk %v", w.disk)
				}
				ended(tc.err)
				if tc.restart {
					k = w.boot(t)
				}
				begin := time.Now()
				for !listed() {
					time.Sleep(time.Second)
				}
				if got := time.Since(begin); got != tc.hidden || len(w.disk) != 0 {
					t.Errorf("believed after %v, want %v; on disk %v", got, tc.hidden, w.disk)
				}
				if len(answer[0].Addresses) != 2 {
					t.Error("the answer was changed")
				}
			})
		})
	}
}

// What cannot be recorded does not go back.
func TestReturnOnAFullDisk(t *testing.T) {
	w := newWorld()
	k := w.boot(t)
	w.killAt = 1
	if _, err := k.Return("eni-1", nil, nil); err == nil {
		t.Error("recorded on a full disk")
	}
}
