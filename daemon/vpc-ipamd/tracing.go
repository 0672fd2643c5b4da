package main

import (
	"context"
	"log/slog"
	"maps"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/vpcchain/vpcchain/daemon/internal/config"
	"github.com/vpcchain/vpcchain/daemon/internal/metrics"
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

// followRecorder measures the plugins by their records, and exports all spans
// where the settings name a collector.
func followRecorder(ctx context.Context, group *errgroup.Group, c config.Config, f config.Flags, instance string, m *metrics.Metrics, log *slog.Logger) {
	dir := flight.Dir(f.StateDir)
	group.Go(func() error { return m.FollowPlugins(ctx, dir, log) })
	if c.Collector() == nil {
		return
	}
	resource := map[string]string{"service.name": c.ServiceName, "host.id": instance, "cloud.provider": "aws"}
	maps.Copy(resource, c.Resource)
	to := tracing.Collector{Endpoint: c.Collector(), Headers: c.OTLPHeaders, Certificate: c.OTLPCertificate, Resource: resource}
	group.Go(func() error { return tracing.Export(ctx, dir, to, log) })
}
