// Command bench measures the chain, the way of packets through a node, the
// daemon and the programs, on instances of simulations of its own, and writes
// what it finds into docs/performance.md, a section for each part. Machines
// differ and the same machine varies by a factor of two, so what is compared is
// measured in turns, and what counts is the ratio within one run.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/vpcchain/vpcchain/integration/bench/chain"
	"github.com/vpcchain/vpcchain/integration/bench/fill"
	"github.com/vpcchain/vpcchain/integration/performance"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are the command line's.
type options struct {
	root, bin, before, out, commit string
	widths                         []int
	n                              int
	fill                           fill.Options
	rate                           int
}

func run(ctx context.Context) error {
	var o options
	flag.StringVar(&o.root, "root", ".", "directory of the checkout")
	flag.StringVar(&o.before, "before", "", "directory with plugins of another build, measured as well; those that it lacks are taken from bin")
	flag.StringVar(&o.out, "out", "", "document to write the sections into; docs/performance.md of the checkout if empty")
	flag.StringVar(&o.commit, "commit", "unknown", "what was built, for the report")
	flag.IntVar(&o.n, "n", 220, "pods of each chain at each parallelism; rounds are whole, so it may be some more")
	flag.IntVar(&o.fill.From, "from", 0, "with -inside fill, the number of the first pod to make")
	flag.IntVar(&o.fill.To, "to", 0, "with -inside fill, the number behind the last one")
	flag.IntVar(&o.rate, "rate", 50, "with -inside churn, pods deleted and added a second")
	parallel := flag.String("parallel", "1,8,32,110", "numbers of pods at once")
	only := flag.String("only", "", "parts to run, with commas between them; all if empty")
	inside := flag.String("inside", "", "what the bench itself executes in the namespaces of a simulated node")
	flag.Parse()
	var err error
	if o.root, err = filepath.Abs(o.root); err != nil {
		return err
	}
	o.bin = filepath.Join(o.root, "bin")
	if o.out == "" {
		o.out = filepath.Join(o.root, "docs", "performance.md")
	}
	for f := range strings.SplitSeq(*parallel, ",") {
		w, err := strconv.Atoi(f)
		if err != nil || w < 1 {
			return fmt.Errorf("-parallel %q: give numbers from 1 with commas between them", *parallel)
		}
		o.widths = append(o.widths, w)
	}
	if *inside != "" {
		return onNode(ctx, *inside, o)
	}
	return parts(ctx, o, *only)
}

// onNode is what runs in a node's namespaces; its standard output is the report.
func onNode(ctx context.Context, what string, o options) error {
	var report string
	var err error
	o.fill.Bin, o.fill.Conflist = o.bin, filepath.Join(o.root, "conflist", "10-vpc.conflist")
	switch what {
	case "chain":
		report, err = chain.Run(ctx, chain.Options{Bin: o.bin, Before: o.before, Conflists: filepath.Join(o.root, "conflist"), Widths: o.widths, N: o.n})
	case "fill":
		return fill.Run(ctx, os.Stdout, o.fill)
	case "churn":
		var n int64
		n, err = fill.Churn(ctx, o.fill, o.rate, churned)
		report = fmt.Sprint(n)
	default:
		err = fmt.Errorf("-inside %q: no such part", what)
	}
	fmt.Print(report)
	return err
}

// parts runs those that are named, or all, and writes a section of each. One
// that fails keeps the others from nothing.
func parts(ctx context.Context, o options, only string) error {
	type part struct {
		name, title string
		run         func(context.Context, options, *performance.Run) (string, error)
	}
	all := []part{
		{"chain", performance.Chain, runChain},
		{"path", performance.Path, runPath},
		{"streams", performance.Streams, runStreams},
		{"daemon", performance.Daemon, runDaemon},
		{"sizes", performance.Sizes, runSizes},
		{"fleet", performance.Fleet, runFleet},
	}
	wanted := map[string]bool{}
	for name := range strings.SplitSeq(only, ",") {
		if only != "" && !slices.ContainsFunc(all, func(p part) bool { return p.name == name }) {
			return fmt.Errorf("-only %q: there is no part %q", only, name)
		}
		wanted[name] = true
	}
	var errs []error
	for _, p := range all {
		if only != "" && !wanted[p.name] || ctx.Err() != nil {
			continue
		}
		fmt.Fprintln(os.Stderr, "bench:", p.name)
		made := performance.Begin(o.commit)
		body, err := p.run(ctx, o, made)
		if err == nil {
			err = performance.Put(o.out, performance.Section{Title: p.title, Made: made.String(), Body: body})
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", p.name, err))
		}
	}
	return errors.Join(append(errs, ctx.Err())...)
}
