package main

import (
	"log/slog"
	"runtime/debug"

	"google.golang.org/grpc"

	"github.com/vpcchain/vpcchain/daemon/internal/cloud"
	"github.com/vpcchain/vpcchain/daemon/internal/engine"
	"github.com/vpcchain/vpcchain/daemon/internal/kube"
	"github.com/vpcchain/vpcchain/daemon/internal/metrics"
	"github.com/vpcchain/vpcchain/daemon/internal/tracing"
)

// watched makes the calls of EC2 measured and traced ones; the log hears of throttles.
func watched(m *metrics.Metrics, t *tracing.Tracer, log *slog.Logger) cloud.Options {
	return cloud.Options{Gate: m.Gate(cloud.NewBuckets().Wait), Observer: cloud.SayThrottled(log, m), Trace: t.Call}
}

// measured makes requests on the socket measured ones.
func measured(m *metrics.Metrics) grpc.ServerOption { return grpc.ChainUnaryInterceptor(m.Unary) }

// watch shows the node in the metrics.
func watch(m *metrics.Metrics, e *engine.Engine, host kernel, aws *cloud.Client, reports *kube.Keeper) {
	m.Watch(metrics.Sources{Engine: e, NATRepairs: host.nat.Repairs, Rooms: aws.Rooms, Reported: reports.Reported, Build: build})
}

// build is what the program was built from.
func build() (version, goversion string) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown", "unknown"
	}
	return info.Main.Version, info.GoVersion
}
