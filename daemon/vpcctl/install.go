package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/vpcchain/vpcchain/daemon/internal/install"
	"github.com/vpcchain/vpcchain/pkg/ipamapi"
)

// daemon asks vpc-ipamd whether it serves.
type daemon struct{ c ipamapi.IPAMClient }

func (d daemon) Status(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	r, err := d.c.Status(ctx, &ipamapi.StatusRequest{})
	if err != nil {
		return fmt.Errorf("it does not answer: %w", err)
	}
	if r.GetState() == ipamapi.StatusReply_STATE_UNAVAILABLE {
		return fmt.Errorf("it cannot serve: %s", r.GetReason())
	}
	return nil
}

// self is the directory of this binary: the plugins usually lie beside it.
func self() string {
	path, err := os.Executable()
	if err != nil {
		return "/"
	}
	return filepath.Dir(path)
}

func doInstall(args []string, getenv func(string) string, out io.Writer) (int, error) {
	s, err := install.Parse(args, getenv, self())
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(out, "vpcctl install puts the chain onto this node. Flags, the variables that stand for them, defaults:")
		return 0, install.Usage(out, install.Options(self()))
	}
	if err != nil {
		return 2, fmt.Errorf("%w; `vpcctl install --help` lists the flags", err)
	}
	plan, err := install.New(s)
	if err != nil {
		return 1, err
	}
	if s.DryRun {
		fmt.Fprint(out, plan)
		return 0, nil
	}
	conn, err := grpc.NewClient("unix:"+s.Socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return 1, err
	}
	defer func() { _ = conn.Close() }()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := plan.Apply(ctx, daemon{ipamapi.NewIPAMClient(conn)}, func(what string) { fmt.Fprintln(out, what) }); err != nil {
		return 1, err
	}
	for _, n := range plan.Notes {
		fmt.Fprintln(out, "note:", n)
	}
	return 0, nil
}

const uninstallUsage = `vpcctl uninstall takes the chain off this node: conflist, kernel objects, sysctls, plugins, state. Stop vpc-ipamd first.
ENIs stay attached: they end with the instance. Flags:
  --bin-dir DIR     the runtime's directory of plugins, with the record of the installation (/opt/cni/bin, or $HOST_CNI_BIN_PATH)
  --state-dir DIR   of vpc-ipamd (/run/vpc-cni)
  --force           while pods run: they lose their network
  --to-stock        leave the pods running, as the stock AWS VPC CNI would have made them; see docs/migrate.md
  --dry-run         say what would be done
`

func doUninstall(args []string, getenv func(string) string, out io.Writer) (int, error) {
	r, err := install.ParseRemoval(args, getenv)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(out, uninstallUsage)
		return 0, nil
	}
	if err != nil {
		return 2, fmt.Errorf("%w; `vpcctl uninstall --help` lists the flags", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	err = install.Uninstall(ctx, r, install.Node{StateDir: r.StateDir}, install.StateFile{Dir: r.StateDir}, func(what string) { fmt.Fprintln(out, what) })
	return 0, err
}
