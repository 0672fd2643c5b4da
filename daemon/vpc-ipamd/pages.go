package main

import (
	"context"
	"log/slog"
	"net/http"

	"golang.org/x/sync/errgroup"

	"github.com/vpcchain/vpcchain/daemon/internal/config"
	"github.com/vpcchain/vpcchain/daemon/internal/engine"
	"github.com/vpcchain/vpcchain/daemon/internal/web"
)

// servePages serves what is read over HTTP, until ctx ends.
func servePages(ctx context.Context, group *errgroup.Group, c config.Config, e *engine.Engine, log *slog.Logger) {
	metrics := http.NewServeMux()
	web.AddHealth(metrics, e)
	group.Go(func() error { return web.Serve(ctx, "metrics", c.MetricsAddr, metrics, log) })
	if c.NoIntrospection {
		return
	}
	introspection := http.NewServeMux()
	group.Go(func() error { return web.Serve(ctx, "introspection", c.IntrospectionAddr, introspection, log) })
}
