package metrics

import (
	"context"
	"path"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
)

// Unary measures the requests of a gRPC server.
func (m *Metrics) Unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	began := time.Now()
	reply, err := next(ctx, req)
	method := path.Base(info.FullMethod)
	m.rpc.WithLabelValues(method, status.Code(err).String()).Observe(time.Since(began).Seconds())
	switch method {
	case "Assign":
		m.count(assigns, 1)
	case "Release":
		m.count(releases, 1)
	}
	return reply, err
}

// Attempt counts one request to EC2; the code is EC2's, "" for a success.
func (m *Metrics) Attempt(action, code string, took time.Duration, throttled bool) {
	m.ec2.WithLabelValues(action).Observe(took.Seconds())
	if code != "" {
		m.count(ec2Errors, 1, action, m.known(ec2Errors, action, code))
	}
	if throttled {
		m.count(ec2Throttled, 1, action)
	}
}

// Call counts a call of EC2 that has ended, after all its requests.
func (m *Metrics) Call(action, code string) {
	m.count(ec2Calls, 1, action)
	if code != "" {
		m.count(ec2CallsFailed, 1, action, m.known(ec2CallsFailed, action, code))
	}
}

// codesMost bounds the error codes of an action that are told apart: they come
// from outside, and each is a series.
const codesMost = 12

// known is the code, or "other" when it would be one too many.
func (m *Metrics) known(name, action, code string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for key := range m.counts[name] {
		if key == action+separator+code {
			return code
		}
		if len(key) > len(action) && key[:len(action)+1] == action+separator {
			n++
		}
	}
	if n >= codesMost || len(code) > 100 {
		return "other"
	}
	return code
}

// Gate measures the waits in a gate before requests to EC2.
func (m *Metrics) Gate(wait func(ctx context.Context, action string) error) func(context.Context, string) error {
	return func(ctx context.Context, action string) error {
		began := time.Now()
		err := wait(ctx, action)
		m.count(ec2Waited, time.Since(began).Seconds(), action)
		return err
	}
}
