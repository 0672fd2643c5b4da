package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/vpcchain/vpcchain/integration/bench/fill"
	"github.com/vpcchain/vpcchain/integration/bench/path"
	"github.com/vpcchain/vpcchain/integration/lab"
	"github.com/vpcchain/vpcchain/integration/performance"
)

// most is what an m5.24xlarge carries with secondary addresses: 15 ENIs of 49.
const most = 735

// counts are the numbers of pods that packets are sent beside.
func counts() []int { return []int{10, 110, 250, most} }

// big is a node of that type. All its addresses, so many, are there before the
// first pod. One that was released is free again after some seconds, as on a node
// with the usual settings: the daemon forgets connections of released addresses
// more often the sooner they are given out again.
func big(ctx context.Context, o options, addresses int, env []string, f func(*lab.Lab, *lab.Process) error) error {
	env = append([]string{"IP_COOLDOWN_PERIOD=5", fmt.Sprintf("MINIMUM_IP_TARGET=%d", addresses), "WARM_IP_TARGET=0"}, env...)
	return onSimulation(ctx, o, filepath.Join(o.root, "integration", "bench", "big.yaml"), env, func(l *lab.Lab, d *lab.Process) error {
		err := lab.Poll(ctx, func() error {
			p, err := l.Pool(ctx, node)
			if err == nil && p.Addresses < addresses {
				err = fmt.Errorf("the pool has %d of %d addresses", p.Addresses, addresses)
			}
			return err
		})
		if err != nil {
			return err
		}
		return f(l, d)
	})
}

// prefixes is the setting of the mode.
func prefixes(on bool) string { return fmt.Sprintf("ENABLE_PREFIX_DELEGATION=%v", on) }

// addPods makes the pods numbered from to to-1 on a node.
func addPods(ctx context.Context, l *lab.Lab, o options, node string, from, to int) (pods []fill.Pod, err error) {
	out, err := inside(ctx, l, o, node, "fill", "-from", fmt.Sprint(from), "-to", fmt.Sprint(to))
	if err != nil {
		return nil, err
	}
	for dec := json.NewDecoder(strings.NewReader(out)); dec.More(); {
		var p fill.Pod
		if err := dec.Decode(&p); err != nil {
			return nil, fmt.Errorf("reading what became of pods: %w", err)
		}
		pods = append(pods, p)
	}
	return pods, nil
}

func runPath(ctx context.Context, o options, _ *performance.Run) (string, error) {
	var report strings.Builder
	report.WriteString(path.Intro)
	for _, mode := range []struct {
		name     string
		prefixes bool
	}{{"Prefixes", true}, {"Secondary addresses", false}} {
		var all []path.Result
		err := big(ctx, o, most, []string{prefixes(mode.prefixes)}, func(l *lab.Lab, d *lab.Process) error {
			var pods []fill.Pod
			for _, n := range counts() {
				more, err := addPods(ctx, l, o, node, len(pods), n)
				if err != nil {
					return err
				}
				pods = append(pods, more...)
				r, err := onPath(ctx, l, d, pods)
				if err != nil {
					return fmt.Errorf("%d pods: %w", n, err)
				}
				all = append(all, r)
			}
			return nil
		})
		if err != nil {
			return "", fmt.Errorf("%s: %w", mode.name, err)
		}
		report.WriteString(path.Report(mode.name, all))
	}
	return report.String(), nil
}

// onPath measures with the pods that there are, while the daemon is stopped: it
// would repair the node.
func onPath(ctx context.Context, l *lab.Lab, daemon *lab.Process, pods []fill.Pod) (res path.Result, err error) {
	if err := settled(ctx, l); err != nil {
		return res, err
	}
	daemon.Signal(syscall.SIGSTOP)
	defer daemon.Signal(syscall.SIGCONT)
	var spaces []path.Space
	defer func() {
		for _, s := range spaces {
			s.Close()
		}
	}()
	open := func(f func() (path.Space, error)) path.Space {
		s, oerr := f()
		err = errors.Join(err, oerr)
		spaces = append(spaces, s)
		return s
	}
	pod := func(p fill.Pod) path.Pod {
		return path.Pod{Space: open(func() (path.Space, error) { return path.Open(seenBy(daemon, p.Netns)) }), Addr: p.Addr}
	}
	host, err := standIn(ctx, l, "endpoint")
	if err != nil {
		return res, err
	}
	defer func() { _ = host.Stop(syscall.SIGKILL) }()
	n := path.Node{
		Space:   open(func() (path.Space, error) { return path.Of(daemon.PID()) }),
		First:   [2]path.Pod{pod(pods[0]), pod(pods[1])},
		Last:    [2]path.Pod{pod(pods[len(pods)-2]), pod(pods[len(pods)-1])},
		Outside: path.Pod{Space: open(func() (path.Space, error) { return path.Of(host.PID()) }), Addr: netip.MustParseAddr(endpoint)},
	}
	for _, p := range pods {
		n.Addrs = append(n.Addrs, p.Addr)
	}
	if err != nil {
		return res, err
	}
	return path.Measure(ctx, n)
}

// seenBy is a path as a process sees it, with the mounts of its node.
func seenBy(p *lab.Process, path string) string { return fmt.Sprintf("/proc/%d/root%s", p.PID(), path) }

// endpoint is the address of the host of that name in big.yaml.
const endpoint = "10.20.13.10"

// standIn is a process in the namespaces of a host of the simulation, to find them by.
func standIn(ctx context.Context, l *lab.Lab, host string) (*lab.Process, error) {
	p, err := l.Start(host, nil, "sleep", "600")
	if err != nil {
		return nil, err
	}
	err = lab.Poll(ctx, func() error { // until then it is vpcsim, which is about to enter them
		comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", p.PID()))
		if err == nil && strings.TrimSpace(string(comm)) != "sleep" {
			err = fmt.Errorf("%s is not entered yet", host)
		}
		return err
	})
	if err != nil {
		_ = p.Stop(syscall.SIGKILL)
		return nil, err
	}
	return p, nil
}

// settled waits until the daemon has nothing to change: it merges rules of
// adjacent addresses some time after they were given out.
func settled(ctx context.Context, l *lab.Lab) error {
	const same = 10 // looks in a row
	var before string
	seen := 0
	return lab.Poll(ctx, func() error {
		now, err := l.Exec(ctx, node, "ip", "rule", "show")
		if err != nil {
			return err
		}
		if now != before {
			before, seen = now, 0
		}
		if seen++; seen < same {
			return fmt.Errorf("the rules of %s changed a moment ago", node)
		}
		return nil
	})
}
