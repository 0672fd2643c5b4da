package cloud

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
)

// Observer hears of EC2. The code is EC2's of an error, NoAnswer without one, ""
// for a success. Its methods are called by several goroutines, and must not wait.
type Observer interface {
	// Attempt is one request.
	Attempt(api, code string, took time.Duration, throttled bool)
	// Call is all requests of a call.
	Call(api, code string)
}

// NoAnswer stands for the code of an error that EC2 did not give.
const NoAnswer = "NoAnswer"

// observe stands around the repetitions and, behind the gate, around each of them.
func observe(o Observer) func(*middleware.Stack) error {
	calls := middleware.InitializeMiddlewareFunc("ObserveCall", func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
		out, md, err := next.HandleInitialize(ctx, in)
		code, _ := codeOf(err)
		o.Call(awsmiddleware.GetOperationName(ctx), code)
		return out, md, err
	})
	attempts := middleware.FinalizeMiddlewareFunc("ObserveAttempt", func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
		began := time.Now()
		out, md, err := next.HandleFinalize(ctx, in)
		code, throttled := codeOf(err)
		o.Attempt(awsmiddleware.GetOperationName(ctx), code, time.Since(began), throttled)
		return out, md, err
	})
	return func(s *middleware.Stack) error {
		after := "Retry"
		if _, gated := s.Finalize.Get("Gate"); gated {
			after = "Gate" // its wait is no time of EC2's
		}
		return errors.Join(s.Initialize.Add(calls, middleware.After), s.Finalize.Insert(attempts, after, middleware.After))
	}
}

func codeOf(err error) (code string, throttled bool) {
	var ae smithy.APIError
	switch {
	case err == nil:
		return "", false
	case errors.As(err, &ae):
		return ae.ErrorCode(), errors.Is(classOf(ae.ErrorCode(), ae.ErrorMessage()), eni.ErrThrottled)
	}
	return NoAnswer, false
}

// rememberRoom keeps EC2's count of a subnet's free addresses.
func (c *Client) rememberRoom(s types.Subnet) {
	if s.AvailableIpAddressCount == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	id := aws.ToString(s.SubnetId)
	c.rooms[id] = eni.SubnetRoom{ID: id, Free: int(*s.AvailableIpAddressCount), Asked: time.Now()}
}

// Rooms are the free addresses of all subnets that EC2 has described, each as of
// when it did. It asks nobody.
func (c *Client) Rooms() []eni.SubnetRoom {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.SortedFunc(maps.Values(c.rooms), func(a, b eni.SubnetRoom) int { return cmp.Compare(a.ID, b.ID) })
}
