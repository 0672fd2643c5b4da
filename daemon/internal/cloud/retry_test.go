package cloud

import (
	"errors"
	"testing"
	"time"

	"github.com/aws/smithy-go"
)

// A refusal for the rate doubles the pause, with half of it more or less; other
// failures are the SDK's to space.
func TestPausesAfterThrottling(t *testing.T) {
	r := newRetryer()
	for attempt := range maxAttempts - 1 {
		want := firstThrottled << attempt
		for range 100 {
			d, err := r.RetryDelay(attempt+1, &smithy.GenericAPIError{Code: "RequestLimitExceeded"})
			if err != nil || d < want/2 || d >= want*3/2 {
				t.Fatalf("after attempt %d: %s, %v; want %s and half of it more or less", attempt+1, d, err, want)
			}
		}
	}
	short := time.Minute
	for range 100 {
		d, err := r.RetryDelay(1, errors.New("connection reset by peer"))
		if err != nil {
			t.Fatal(err)
		}
		short = min(short, d)
	}
	if short >= firstThrottled/2 {
		t.Errorf("a broken connection is tried again after %s at least: that is the pause of a throttled call", short)
	}
}
