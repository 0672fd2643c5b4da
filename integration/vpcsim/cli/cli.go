// Package cli is the command line of vpcsim: one function per subcommand. All
// but up, down, exec and capture only ask the simulation's server.
package cli

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"syscall"

	"github.com/vpcchain/vpcchain/integration/vpcsim/instance"
)

const usage = `vpcsim is the VPC in a box: EC2, IMDS and the network of a VPC on this machine.

  vpcsim up [-f topology.yaml]      start a simulation in the background, print its topology;
     [--no-fabric]                  EC2 and IMDS alone, on ports of the loopback; needs no root
  vpcsim env INSTANCE               print the environment in which a program finds the simulated AWS:
                                    env $(vpcsim env node-a) vpc-ipamd …
  vpcsim down                       remove every trace of it, also after a crash
  vpcsim exec HOST -- CMD [ARG...]  run CMD on a host of it; HOST is an instance, a service or an outside host
  vpcsim topology                   print what runs
  vpcsim enis                       every ENI, attached or not, as it is in EC2 whatever Describe* shows
  vpcsim calls [--reset]            EC2 calls so far, by action and outcome
  vpcsim drops [--reset]            packets that the VPC refused, with port and reason
  vpcsim fault ACTION [--latency D] [--reply-latency D] [--error CODE] [--lost] [--count N]
                                    make calls of an EC2 action slow, refused, or applied without an answer;
                                    none of them clears it; "*" is every other action, IMDS the metadata service
  vpcsim fault [--clear] [--imds-lag D] [--link-delay D] [--detach-delay D] [--new-eni-delay D] [--change-delay D]
     [--page-size N] [--eni-quota N] [--throttle off|ec2|BURST/RATE] [--throttle-account off|BURST/RATE]
                                    how EC2, IMDS and links behave besides; --clear removes every fault of an action;
                                    without anything print what is in force
  vpcsim detach ENI                 detach an ENI from outside, as an operator may
  vpcsim delete ENI                 the same, and delete it
  vpcsim capture HOST LINK [FILTER] print packets as a protocol analyser lists them; "vlan 5" is those of a branch on a trunk's link
  vpcsim cidrs CIDR [CIDR...]       change the CIDRs of the VPC; IMDS follows

Every subcommand takes --name N (default "vpc"), so that several run side by side, and --json where a script reads it.
`

// app is one run of the command line.
type app struct {
	in       io.Reader
	out, err io.Writer
	ctx      context.Context //nolint:containedctx // lives as long as the process

	name string
	json bool
	fs   *flag.FlagSet
}

// Run executes a command line and returns the exit status.
func Run(args []string, in io.Reader, out, errw io.Writer) int {
	if len(args) == 0 || args[0] == "help" || args[0] == "-h" || args[0] == "--help" {
		fmt.Fprint(out, usage)
		return 0
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	a := &app{in: in, out: out, err: errw, ctx: ctx, fs: flag.NewFlagSet(args[0], flag.ContinueOnError)}
	a.fs.SetOutput(io.Discard)
	a.fs.StringVar(&a.name, "name", "vpc", "")
	a.fs.BoolVar(&a.json, "json", false, "")
	commands := map[string]func([]string) error{
		"up": a.up, "down": a.down, "exec": a.exec, "topology": a.topology, "enis": a.enis, "calls": a.calls, "drops": a.drops,
		"fault": a.fault, "detach": a.detach, "delete": a.delete, "env": a.env, "capture": a.capture, "cidrs": a.cidrs, "serve": a.serve,
	}
	run, ok := commands[args[0]]
	if !ok {
		fmt.Fprintf(errw, "vpcsim: unknown subcommand %q; `vpcsim help` lists them\n", args[0])
		return 2
	}
	if err := run(args[1:]); err != nil {
		if !errors.Is(err, errPrinted) {
			fmt.Fprintf(errw, "vpcsim %s: %v\n", args[0], err)
		}
		return 1
	}
	return 0
}

var errPrinted = errors.New("already reported")

// parse reads flags before, between and behind the positional arguments.
func (a *app) parse(args []string) ([]string, error) {
	var pos []string
	for {
		if err := a.fs.Parse(args); err != nil {
			return nil, fmt.Errorf("%w; `vpcsim help` lists the flags", err)
		}
		if args = a.fs.Args(); len(args) == 0 {
			break
		}
		pos, args = append(pos, args[0]), args[1:]
	}
	if !regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`).MatchString(a.name) {
		return nil, fmt.Errorf("name %q: lower-case letters, digits and dashes, at most 32", a.name)
	}
	return pos, nil
}

func (a *app) none(args []string) error {
	pos, err := a.parse(args)
	if err == nil && len(pos) > 0 {
		err = fmt.Errorf("unexpected argument %q", pos[0])
	}
	return err
}

func (a *app) dir() instance.Dir { return instance.At(a.name) }

func (a *app) print(v any, text func(io.Writer)) error {
	if !a.json {
		text(a.out)
		return nil
	}
	e := json.NewEncoder(a.out)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
