package cloud

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/smithy-go"
)

// maxAttempts of one EC2 call, throttled ones included. The delays between
// them grow to 20 s at most (the SDK's default).
const maxAttempts = 5

// tokenPoll is how often a call asks again for its turn after throttling. The
// adaptive rate is 0.5 calls a second at least.
const tokenPoll = 50 * time.Millisecond

// adaptive is the SDK's adaptive retryer: exponential back-off with jitter, and
// after throttling a client-side rate that all calls of the client share. Only
// its waiting is our own: the SDK's rounds the last part of a wait down to 0 ns
// and spins until the clock moves, which virtual time never does for it.
type adaptive struct{ *retry.AdaptiveMode }

func newAdaptive() adaptive {
	return adaptive{retry.NewAdaptiveMode(func(ao *retry.AdaptiveModeOptions) {
		ao.FailOnNoAttemptTokens = true
		ao.StandardOptions = append(ao.StandardOptions, func(so *retry.StandardOptions) { so.MaxAttempts = maxAttempts })
	})}
}

// GetAttemptToken waits for the call's turn; the SDK asks before each attempt.
func (a adaptive) GetAttemptToken(ctx context.Context) (func(error) error, error) {
	for {
		// The only error is that it is not our turn yet.
		if release, err := a.AdaptiveMode.GetAttemptToken(ctx); err == nil {
			return release, nil
		}
		timer := time.NewTimer(tokenPoll)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, fmt.Errorf("waiting for a turn after EC2 throttled calls: %w", ctx.Err())
		}
	}
}

// notShown also repeats a call about an ENI that EC2 does not know yet: what
// CreateNetworkInterface has made reaches EC2's other parts seconds later. The
// pauses are 0.5, 1, 2 and 4 s, without the jitter of the others, whose cause is
// too many calls.
type notShown struct{ aws.RetryerV2 }

const firstLook = 500 * time.Millisecond

func (c *Client) untilShown(eo *ec2.Options) { eo.Retryer = notShown{c.retryer} }

func (r notShown) IsErrorRetryable(err error) bool {
	return isNotShown(err) || r.RetryerV2.IsErrorRetryable(err)
}

func (r notShown) RetryDelay(attempt int, err error) (time.Duration, error) {
	if isNotShown(err) {
		return firstLook << max(attempt-1, 0), nil
	}
	return r.RetryerV2.RetryDelay(attempt, err)
}

func isNotShown(err error) bool {
	var ae smithy.APIError
	return errors.As(err, &ae) && ae.ErrorCode() == "InvalidNetworkInterfaceID.NotFound"
}

// onlyUnapplied retries a call only when EC2 refused it for its rate. After a
// broken connection the call may have been applied, and AssignPrivateIpAddresses
// has no client token: a second one would assign as many again.
type onlyUnapplied struct {
	aws.RetryerV2
	throttled retry.IsErrorRetryables
}

func (c *Client) onlyUnapplied(eo *ec2.Options) {
	codes := retry.RetryableErrorCode{Codes: retry.DefaultThrottleErrorCodes}
	eo.Retryer = onlyUnapplied{c.retryer, retry.IsErrorRetryables{codes}}
}

// IsErrorRetryable tells whether err says that the call was not looked at.
func (r onlyUnapplied) IsErrorRetryable(err error) bool {
	return r.throttled.IsErrorRetryable(err) == aws.TrueTernary
}
