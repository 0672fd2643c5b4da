package main

import (
	"context"
	"log/slog"
	"net/netip"
	"path/filepath"

	"github.com/vpcchain/vpcchain/daemon/internal/engine"
	"github.com/vpcchain/vpcchain/daemon/internal/hostnet"
	"github.com/vpcchain/vpcchain/daemon/internal/nohost"
	"github.com/vpcchain/vpcchain/daemon/internal/server"
	"github.com/vpcchain/vpcchain/daemon/internal/snatkeep"
	"github.com/vpcchain/vpcchain/pkg/sgpp"
	"github.com/vpcchain/vpcchain/pkg/snat"
)

// kernel is what the daemon does with the kernel of its node.
type kernel struct {
	engine.Host
	pods     *hostnet.Host // to find pods by; nil when the kernel is left alone
	branches engine.BranchHost
	nat      server.NAT
	keepNAT  func(context.Context) error
	factsUp  func()                          // the node facts have changed
	forget   func([]netip.Addr) (int, error) // connections of released addresses
	close    func()
}

func openKernel(stateDir string, log *slog.Logger) (kernel, error) {
	host, err := hostnet.New(hostnet.Options{StateDir: stateDir})
	if err != nil {
		return kernel{}, err
	}
	branches, err := sgpp.Open(stateDir)
	if err != nil {
		host.Close()
		return kernel{}, err
	}
	nat := snatkeep.New(filepath.Join(stateDir, "node.json"), log)
	return kernel{Host: host, pods: host, branches: branches, nat: nat, keepNAT: nat.Run, factsUp: nat.Poke, forget: snat.ForgetPods, close: host.Close}, nil
}

// noKernel leaves the kernel alone.
func noKernel() kernel {
	return kernel{Host: nohost.Host{}, nat: nohost.NAT{}, keepNAT: func(context.Context) error { return nil }, close: func() {}}
}
