package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/vpcchain/vpcchain/integration/lab"
	"github.com/vpcchain/vpcchain/integration/performance"
)

const (
	simulation = "bench"
	node       = "node-a"
)

// onSimulation brings up a simulation, starts vpc-ipamd with env on a node of it
// and hands both to f. Nothing is left of them afterwards.
func onSimulation(ctx context.Context, o options, topology string, env []string, f func(*lab.Lab, *lab.Process) error) (err error) {
	l, err := lab.Up(ctx, o.bin, simulation, topology)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Down()) }()
	daemon, err := l.StartDaemon(ctx, node, env...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, daemon.Stop(syscall.SIGTERM)) }()
	return f(l, daemon)
}

// inside executes a part in a node's namespaces and returns what it prints.
func inside(ctx context.Context, l *lab.Lab, o options, node, what string, args ...string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	return l.Exec(ctx, node, append([]string{self, "-root", o.root, "-inside", what}, args...)...)
}

func runChain(ctx context.Context, o options, made *performance.Run) (report string, err error) {
	made.With("containernetworking/plugins " + performance.ModuleVersion(filepath.Join(o.bin, "cni", "ptp"), "github.com/containernetworking/plugins"))
	// More addresses than are used or wait to be used again: no ADD waits for EC2.
	const addresses = 500
	err = big(ctx, o, addresses, []string{prefixes(true), "ENABLE_POD_ENI=true"}, func(l *lab.Lab, _ *lab.Process) error {
		args := []string{"-n", fmt.Sprint(o.n), "-parallel", strings.Trim(strings.Join(strings.Fields(fmt.Sprint(o.widths)), ","), "[]")}
		if o.before != "" {
			args = append(args, "-before", o.before)
		}
		report, err = inside(ctx, l, o, node, "chain", args...)
		return err
	})
	return report, err
}
