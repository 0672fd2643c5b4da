package main

import (
	"log/slog"

	"github.com/vpcchain/vpcchain/daemon/internal/cri"
	"github.com/vpcchain/vpcchain/daemon/internal/engine"
	"github.com/vpcchain/vpcchain/daemon/internal/hostnet"
	"github.com/vpcchain/vpcchain/daemon/internal/orphans"
	"github.com/vpcchain/vpcchain/daemon/internal/rebuild"
	"github.com/vpcchain/vpcchain/daemon/internal/state"
)

// recovering puts into d what finds pods that the daemon did not see come or
// go. Without a kernel there is nothing to find them by.
func recovering(d *engine.Deps, pods *hostnet.Host, store *state.Store, log *slog.Logger) (closeAll func(), err error) {
	if pods == nil {
		return func() {}, nil
	}
	c := d.Config.Recovering
	books := &rebuild.Rebuilder{
		Kernel: pods, Books: store, Checkpoint: c.Checkpoint, Network: c.StockNetwork, VethPrefix: d.Config.VethPrefix,
		Used: store.Damaged != "" || rebuild.Used(d.StateDir), NetnsDirs: rebuild.NetnsDirs(), Log: log,
	}
	d.Recovery, d.Witnesses = books, books
	finder := &orphans.Finder{Kernel: orphans.Host{Host: pods}, Grace: c.OrphanGrace}
	d.Orphans = finder
	if c.CRISocket == "" {
		return func() {}, nil
	}
	runtime, err := cri.New(c.CRISocket)
	if err != nil {
		return nil, err
	}
	finder.Runtime = runtime
	return runtime.Close, nil
}
