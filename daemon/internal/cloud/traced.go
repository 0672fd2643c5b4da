package cloud

import (
	"context"
	"errors"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
)

// Trace hears that a call begins, with all its repetitions and waits, and by the
// function that it returns how it ended. It must not wait.
type Trace func(ctx context.Context, api string) (ended func(Outcome))

// Outcome is how a call of EC2's API ended.
type Outcome struct {
	Err       error
	Code      string // EC2's of Err; "NoAnswer" if EC2 did not give one
	RequestID string // of the last request that EC2 answered
	Attempts  int
}

// traced stands around the repetitions.
func traced(t Trace) func(*middleware.Stack) error {
	m := middleware.InitializeMiddlewareFunc("Trace", func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
		ended := t(ctx, awsmiddleware.GetOperationName(ctx))
		out, md, err := next.HandleInitialize(ctx, in)
		o := Outcome{Err: err, RequestID: requestID(md, err)}
		if ae := smithy.APIError(nil); errors.As(err, &ae) {
			o.Code = ae.ErrorCode()
		} else if err != nil {
			o.Code = "NoAnswer"
		}
		if results, ok := retry.GetAttemptResults(md); ok {
			o.Attempts = len(results.Results)
		}
		ended(o)
		return out, md, err
	})
	return func(s *middleware.Stack) error { return s.Initialize.Add(m, middleware.After) }
}

// requestID is that by which AWS's support finds the call.
func requestID(md middleware.Metadata, err error) string {
	var answered interface{ ServiceRequestID() string }
	if errors.As(err, &answered) {
		return answered.ServiceRequestID()
	}
	id, _ := awsmiddleware.GetRequestIDMetadata(md)
	return id
}
