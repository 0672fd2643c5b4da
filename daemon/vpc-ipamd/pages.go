package main

import (
	"context"
	"log/slog"
	"net/http"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"github.com/vpcchain/vpcchain/daemon/internal/config"
	"github.com/vpcchain/vpcchain/daemon/internal/engine"
	"github.com/vpcchain/vpcchain/daemon/internal/explain"
	"github.com/vpcchain/vpcchain/daemon/internal/metrics"
	"github.com/vpcchain/vpcchain/daemon/internal/picture"
	"github.com/vpcchain/vpcchain/daemon/internal/recent"
	"github.com/vpcchain/vpcchain/daemon/internal/web"
)

// servePages serves what is read over HTTP, until ctx ends.
func servePages(ctx context.Context, group *errgroup.Group, c config.Config, f config.Flags, e *engine.Engine, events *recent.Keeper, m *metrics.Metrics, log *slog.Logger) {
	figures := http.NewServeMux()
	web.AddHealth(figures, e)
	if !c.NoMetrics {
		figures.Handle("/metrics", m.Handler())
	}
	group.Go(func() error { return web.Serve(ctx, "metrics", c.MetricsAddr, figures, log) })
	if c.NoIntrospection {
		return
	}
	var x picture.Explainer // none where the kernel is not ours to read
	if !f.NoHost {
		x = picture.NewKernel(func() (explain.Snapshot, error) { return explain.Read(filepath.Join(f.StateDir, "node.json")) })
	}
	introspection := picture.Handler(e, events, x)
	group.Go(func() error { return web.Serve(ctx, "introspection", c.IntrospectionAddr, introspection, log) })
}
