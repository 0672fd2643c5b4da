package cloud

import (
	"errors"
	"math/rand/v2"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/smithy-go"
)

// maxAttempts of one EC2 call, throttled ones included.
const maxAttempts = 5

// firstThrottled is the pause after EC2 has first refused a call for its rate; it
// doubles. The buckets are the account's and refill with 5 calls a second (EC2
// Developer Guide, "Request throttling"): in a cluster of hundreds of nodes that
// start together a call that comes back sooner is refused again, for nothing. The
// SDK's own pauses are half as long.
const firstThrottled = time.Second

// retryer is the SDK's standard one: exponential back-off with jitter, 20 s at
// most, and a quota of retries that failures use up. Its adaptive mode would slow
// down all calls of the node after one is refused: EC2 counts each API by itself,
// and what it refuses is hardly ever of this node's making.
type retryer struct{ *retry.Standard }

func newRetryer() retryer {
	return retryer{retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts = maxAttempts })}
}

func (r retryer) RetryDelay(attempt int, err error) (time.Duration, error) {
	if throttles().IsErrorRetryable(err) != aws.TrueTernary {
		return r.Standard.RetryDelay(attempt, err)
	}
	d := firstThrottled << max(attempt-1, 0)
	return d/2 + rand.N(d), nil //nolint:gosec // jitter
}

// throttles finds the errors that say that a call was not looked at for its rate.
func throttles() retry.IsErrorRetryables {
	return retry.IsErrorRetryables{retry.RetryableErrorCode{Codes: retry.DefaultThrottleErrorCodes}}
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
type onlyUnapplied struct{ aws.RetryerV2 }

func (c *Client) onlyUnapplied(eo *ec2.Options) { eo.Retryer = onlyUnapplied{c.retryer} }

// IsErrorRetryable tells whether err says that the call was not looked at.
func (r onlyUnapplied) IsErrorRetryable(err error) bool {
	return throttles().IsErrorRetryable(err) == aws.TrueTernary
}
