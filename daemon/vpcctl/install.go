package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/vpcchain/vpcchain/daemon/internal/install"
	"github.com/vpcchain/vpcchain/pkg/ipamapi"
	"github.com/vpcchain/vpcchain/pkg/nodefacts"
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

func installCommand() command {
	c := command{
		name: "install", short: "put the chain onto this node; --dry-run says what would be done", raw: true,
		run: func(ctx context.Context, c call) (int, error) { return doInstall(ctx, c) },
	}
	for _, o := range install.Options(self()) {
		f := flagSpec{name: o.Flag, initial: o.Default, env: o.Env, help: o.Help(), value: o.Value()}
		c.flags = append(c.flags, f)
	}
	return c
}

func doInstall(ctx context.Context, c call) (int, error) {
	s, err := install.Parse(c.raw, c.getenv, self())
	if err != nil {
		return exitUsage, fmt.Errorf("%w; `vpcctl help install` lists the flags", err)
	}
	plan, err := install.New(s)
	if err != nil {
		return exitError, err
	}
	report := reporter{out: c.out, asJSON: s.JSON, DryRun: s.DryRun, Changes: []install.Change{}}
	if s.DryRun && !s.JSON {
		_, err := fmt.Fprint(c.out, plan)
		return 0, err
	}
	if s.DryRun {
		report.Changes = plan.Changes()
		return 0, report.end()
	}
	conn, err := grpc.NewClient("unix:"+s.Socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return exitError, err
	}
	defer func() { _ = conn.Close() }()
	err = plan.Apply(ctx, daemon{ipamapi.NewIPAMClient(conn)}, report.say)
	if err == nil {
		for _, n := range plan.Changes()[len(report.Changes):] { // the notes
			report.say(n)
		}
		return 0, report.end()
	}
	return exitError, errors.Join(err, report.end())
}

// reporter tells people of each change as it is begun, and programs of all of them
// at the end; its JSON names are stable.
type reporter struct {
	DryRun  bool             `json:"dryRun"`
	Changes []install.Change `json:"changes"` // the last one may be what failed

	out    io.Writer
	asJSON bool
}

func (r *reporter) say(c install.Change) {
	r.Changes = append(r.Changes, c)
	if !r.asJSON {
		fmt.Fprintln(r.out, c)
	}
}

func (r *reporter) end() error {
	if !r.asJSON {
		return nil
	}
	return printJSON(r.out, r)
}

func uninstallCommand() command {
	return command{
		name: "uninstall", short: "take it off again, with every kernel object; refuses while pods run", raw: true,
		detail: `Takes away conflist, kernel objects, sysctls, plugins, state. Stop vpc-ipamd first. ENIs stay attached: they end with the instance.
`,
		flags: []flagSpec{
			{name: "bin-dir", value: "DIR", initial: "/opt/cni/bin", env: []string{"HOST_CNI_BIN_PATH"}, help: "the runtime's directory of plugins, with the record of the installation"},
			{name: "state-dir", value: "DIR", initial: nodefacts.Dir, help: "of vpc-ipamd"},
			{name: "force", help: "while pods run: they lose their network"},
			{name: "to-stock", help: "leave the pods running, as the stock AWS VPC CNI would have made them; see docs/migrate.md"},
			{name: "dry-run", help: "say what would be done"},
			{name: "json", help: "report as JSON, whose names are stable"},
		},
		run: func(ctx context.Context, c call) (int, error) { return doUninstall(ctx, c) },
	}
}

func doUninstall(ctx context.Context, c call) (int, error) {
	r, err := install.ParseRemoval(c.raw, c.getenv)
	if err != nil {
		return exitUsage, fmt.Errorf("%w; `vpcctl help uninstall` lists the flags", err)
	}
	report := reporter{out: c.out, asJSON: r.JSON, DryRun: r.DryRun, Changes: []install.Change{}}
	err = install.Uninstall(ctx, r, install.Node{StateDir: r.StateDir}, install.StateFile{Dir: r.StateDir}, report.say)
	return 0, errors.Join(err, report.end())
}
