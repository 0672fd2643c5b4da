// Command demo shows the chain at work, step by step, to somebody who has
// never seen it: a VPC with two EC2 instances, the warm pool, pods added with
// the real cnitool through the shipped conflist, real connections between all
// of them, and proof that nothing is left. Every line that claims something
// has tried it; the last line counts them and the exit status follows.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/vpcchain/vpcchain/integration/lab"
)

func main() { os.Exit(run()) }

func run() int {
	bin := flag.String("bin", "bin", "directory of the built binaries")
	conflist := flag.String("conflist", "conflist/10-vpc.conflist", "the conflist to show")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()

	d := &demo{out: os.Stdout}
	if err := d.prepare(*bin, *conflist); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		return 1
	}
	defer d.close()
	start := time.Now()
	for _, step := range []func(context.Context) error{d.vpc, d.daemons, d.pods, d.traffic, d.check, d.remove, d.nodeSNAT, d.externalSNAT} {
		if err := step(ctx); err != nil {
			d.fail("the demo stops here", err)
			break
		}
	}
	fmt.Fprintf(d.out, "\n%.1f s\n%d passed, %d failed\n", time.Since(start).Seconds(), d.passed, d.failed)
	if d.failed > 0 {
		return 1
	}
	return 0
}

// prepare finds the binaries and removes what an interrupted run left.
func (d *demo) prepare(bin, conflist string) error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("the demo makes network namespaces and needs root: run it with sudo")
	}
	var err error
	if d.bin, err = filepath.Abs(bin); err != nil {
		return err
	}
	if d.conflist, err = filepath.Abs(conflist); err != nil {
		return err
	}
	for _, b := range []string{"vpcsim", "vpc-ipamd", "vpcctl", "vpc-ipam", "vpc-veth", "vpc-snat", "probe", "cni/cnitool"} {
		if _, err := os.Stat(filepath.Join(d.bin, b)); err != nil {
			return fmt.Errorf("%w: run `make build` first", err)
		}
	}
	return nil
}

func (d *demo) close() {
	d.stop()
	if d.lab == nil {
		return
	}
	if err := d.lab.Down(); err != nil {
		fmt.Fprintln(os.Stderr, "demo: removing the simulation:", err)
	}
}

// stop ends the servers and daemons of the simulation that runs.
func (d *demo) stop() {
	for _, s := range d.servers {
		s.Close()
	}
	for _, p := range d.procs {
		_ = p.Stop(syscall.SIGTERM)
	}
	d.servers, d.procs = nil, nil
}

type demo struct {
	out            *os.File
	bin, conflist  string
	lab            *lab.Lab
	procs          []*lab.Process
	servers        []*lab.Server
	podList        []lab.Pod
	passed, failed int
}

func (d *demo) title(format string, args ...any) {
	fmt.Fprintf(d.out, "\n== "+format+"\n", args...)
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.out, "   "+format+"\n", args...) }

func (d *demo) pass(format string, args ...any) {
	d.passed++
	fmt.Fprintf(d.out, "ok "+format+"\n", args...)
}

func (d *demo) fail(what string, err error) {
	d.failed++
	fmt.Fprintf(d.out, "FAILED %s: %v\n", what, err)
}

// try reports one claim; a failure does not stop the demo.
func (d *demo) try(what string, err error) {
	if err != nil {
		d.fail(what, err)
		return
	}
	d.pass("%s", what)
}
