// Command vpc-ipamd is the warm-pool daemon of a node: it keeps ENIs and VPC
// addresses ready, gives them to pods through vpc-ipam, and keeps the node's
// routes and rules as promised. Settings come from the environment, under the
// names of the stock AWS VPC CNI; logs go to standard error as JSON.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"

	"golang.org/x/sync/errgroup"

	"github.com/vpcchain/vpcchain/daemon/internal/cloud"
	"github.com/vpcchain/vpcchain/daemon/internal/config"
	"github.com/vpcchain/vpcchain/daemon/internal/engine"
	"github.com/vpcchain/vpcchain/daemon/internal/kube"
	"github.com/vpcchain/vpcchain/daemon/internal/metrics"
	"github.com/vpcchain/vpcchain/daemon/internal/recent"
	"github.com/vpcchain/vpcchain/daemon/internal/server"
	"github.com/vpcchain/vpcchain/daemon/internal/state"
)

// gcPercent is how much garbage there may be for what lives, in percent. What
// lives is 3 MB with 735 pods, and each look at the kernel leaves as much behind:
// the usual 100 costs megabytes on every node and saves no time that could be measured.
const gcPercent = 50

func main() { os.Exit(run()) }

func run() int {
	var f config.Flags
	_ = f.Set().Parse(os.Args[1:]) // an error ends the program
	c, err := config.Parse(os.Getenv)
	if err != nil {
		fmt.Fprintln(os.Stderr, "vpc-ipamd: bad settings:")
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	events := recent.New()
	log := slog.New(events.Keep(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: c.LogLevel})))
	for _, u := range config.FindUnread(os.Environ()) {
		log.Warn("a setting that nobody reads", "name", u.Name, "value", u.Value, "instead", u.Instead)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := serve(ctx, c, f, events, log); err != nil {
		log.Error("stopped", "error", err)
		return 1
	}
	log.Info("stopped")
	return 0
}

func serve(ctx context.Context, c config.Config, f config.Flags, events *recent.Keeper, log *slog.Logger) (err error) {
	// The lock of the state file is what keeps two daemons apart; all else comes after it.
	store, err := openStore(f.StateDir, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	measures, tracer := metrics.New(), openTracer(f.StateDir, log)
	aws, err := cloud.New(ctx, watched(measures, tracer, log))
	if err != nil {
		return err
	}
	host := noKernel()
	if !f.NoHost {
		if host, err = openKernel(f.StateDir, log); err != nil {
			return err
		}
	}
	defer host.close()
	reports := kube.Open(filepath.Join(f.StateDir, "kube.json"), log)
	places, followPlaces := placing(c, aws, reports, log)
	deps := engine.Deps{
		Config: c, ENIs: aws, Remover: aws, Addresses: aws, Metadata: aws, Host: host.Host, Store: store, Intents: store, Drains: store, StateDir: f.StateDir, Log: log,
		Groups: aws, Placement: places, Kubernetes: reports, Forget: host.forget, FactsChanged: host.factsUp, Spans: tracer,
	}
	deps.BranchENIs, deps.BranchStore, deps.BranchHost = aws, store, host.branches
	closeRuntime, err := recovering(&deps, host.pods, store, log)
	if err != nil {
		return err
	}
	defer closeRuntime()
	e := engine.New(deps)
	if err := e.Start(ctx); err != nil {
		return err
	}
	listener, err := server.Listen(f.Socket)
	if err != nil {
		return err
	}
	watch(measures, e, host, aws, reports)
	rpc := server.New(e, host.nat, measured(measures), intercepted(tracer))
	server.AddKube(rpc, e, reports)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return e.Run(ctx) })
	group.Go(func() error { return host.keepNAT(ctx) })
	group.Go(func() error { return followPlaces(ctx) })
	group.Go(func() error { return server.Serve(rpc, listener) })
	followRecorder(ctx, group, c, f, aws.InstanceID(), measures, log)
	servePages(ctx, group, c, f, e, events, measures, log)
	group.Go(func() error {
		<-ctx.Done()
		rpc.Stop() // a waiting ADD is answered with an error, and its runtime tries again
		return nil
	})
	return group.Wait()
}

// openStore makes the state directory and opens the state file in it.
func openStore(dir string, log *slog.Logger) (*state.Store, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("%w: make it writable, or name another with --state-dir", err)
	}
	store, err := state.Open(filepath.Join(dir, "ipamd.db"))
	if err == nil && store.Damaged != "" {
		log.Warn("the allocations are looked for in the kernel", "reason", store.Damaged)
	}
	return store, err
}
