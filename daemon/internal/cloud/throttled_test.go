package cloud

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// counted counts what an Observer hears.
type counted struct{ attempts, calls int }

func (h *counted) Attempt(string, string, time.Duration, bool) { h.attempts++ }
func (h *counted) Call(string, string)                         { h.calls++ }

// A throttled API is said once in 10 s, and nothing is kept from the observer.
func TestSayThrottled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		h := &counted{}
		o := SayThrottled(slog.New(slog.NewTextHandler(&out, nil)), h)
		for range 25 { // one second each
			o.Attempt("AssignPrivateIpAddresses", "RequestLimitExceeded", time.Second, true)
			o.Attempt("DescribeNetworkInterfaces", "", time.Second, false)
			time.Sleep(time.Second)
		}
		o.Attempt("CreateNetworkInterface", "Client.RequestLimitExceeded", time.Second, true)
		o.Call("CreateNetworkInterface", "")
		got := fmt.Sprint(strings.Count(out.String(), "api=AssignPrivateIpAddresses code=RequestLimitExceeded"), strings.Count(out.String(), "api=CreateNetworkInterface"),
			strings.Count(out.String(), "\n"), h.attempts, h.calls)
		if got != "3 1 4 51 1" {
			t.Errorf("said and heard %s:\n%s", got, &out)
		}
	})
}
