package main

import (
	"log/slog"

	"google.golang.org/grpc"

	"github.com/vpcchain/vpcchain/daemon/internal/tracing"
	"github.com/vpcchain/vpcchain/pkg/flight"
)

// openTracer makes the directory of the flight recorder: from then on plugins
// write to it.
func openTracer(stateDir string, log *slog.Logger) *tracing.Tracer {
	t, err := tracing.New(flight.Recorder{Dir: flight.Dir(stateDir)})
	if err != nil {
		log.Warn("there is no flight recorder: vpcctl trace will show nothing", "error", err)
	}
	return t
}

// intercepted makes requests on the socket traced ones.
func intercepted(t *tracing.Tracer) grpc.ServerOption {
	return grpc.ChainUnaryInterceptor(t.Intercept)
}
