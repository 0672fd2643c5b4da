// Command vpc-ipamd is the warm-pool daemon of a node: it keeps ENIs and VPC
// addresses ready, gives them to pods through vpc-ipam, and keeps the node's
// routes and rules as promised. Settings come from the environment, under the
// names of the stock AWS VPC CNI; logs go to standard error as JSON.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"golang.org/x/sync/errgroup"

	"github.com/vpcchain/vpcchain/daemon/internal/cloud"
	"github.com/vpcchain/vpcchain/daemon/internal/config"
	"github.com/vpcchain/vpcchain/daemon/internal/engine"
	"github.com/vpcchain/vpcchain/daemon/internal/hostnet"
	"github.com/vpcchain/vpcchain/daemon/internal/server"
	"github.com/vpcchain/vpcchain/daemon/internal/snatkeep"
	"github.com/vpcchain/vpcchain/daemon/internal/state"
	"github.com/vpcchain/vpcchain/pkg/ipamapi"
	"github.com/vpcchain/vpcchain/pkg/nodefacts"
	"github.com/vpcchain/vpcchain/pkg/snat"
)

func main() { os.Exit(run()) }

func run() int {
	socket := flag.String("socket", ipamapi.DefaultSocket, "unix socket to serve the plugins on")
	stateDir := flag.String("state-dir", nodefacts.Dir, "directory of the state, the node facts and the spool")
	flag.Parse()
	c, err := config.Parse(os.Getenv)
	if err != nil {
		fmt.Fprintln(os.Stderr, "vpc-ipamd: bad settings:")
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	log := slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: c.LogLevel}))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := serve(ctx, c, *socket, *stateDir, log); err != nil {
		log.Error("stopped", "error", err)
		return 1
	}
	log.Info("stopped")
	return 0
}

func serve(ctx context.Context, c config.Config, socket, stateDir string, log *slog.Logger) (err error) {
	if err := os.MkdirAll(stateDir, 0o755); err != nil {
		return err
	}
	// The lock of the state file is what keeps two daemons apart; all else comes after it.
	store, err := state.Open(filepath.Join(stateDir, "ipamd.db"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	if store.Damaged != "" {
		log.Warn("starting without the allocations of before", "reason", store.Damaged)
	}
	aws, err := cloud.New(ctx, cloud.Options{})
	if err != nil {
		return err
	}
	host, err := hostnet.New(hostnet.Options{StateDir: stateDir})
	if err != nil {
		return err
	}
	defer host.Close()
	places, followPlaces := placing(c, aws, log)
	nat := snatkeep.New(filepath.Join(stateDir, "node.json"), log)
	e := engine.New(engine.Deps{
		Config: c, ENIs: aws, Remover: aws, Addresses: aws, Metadata: aws, Host: host, Store: store, StateDir: stateDir, Log: log,
		Groups: aws, Placement: places, Forget: snat.ForgetPods, FactsChanged: nat.Poke,
	})
	if err := e.Start(ctx); err != nil {
		return err
	}
	listener, err := server.Listen(socket)
	if err != nil {
		return err
	}
	rpc := server.New(e, nat)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return e.Run(ctx) })
	group.Go(func() error { return nat.Run(ctx) })
	group.Go(func() error { return followPlaces(ctx) })
	group.Go(func() error { return rpc.Serve(listener) })
	group.Go(func() error {
		<-ctx.Done()
		rpc.Stop() // a waiting ADD is answered with an error, and its runtime tries again
		return nil
	})
	return group.Wait()
}
