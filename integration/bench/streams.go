package main

import (
	"context"
	"net/netip"
	"syscall"

	"github.com/vpcchain/vpcchain/integration/bench/path"
	"github.com/vpcchain/vpcchain/integration/lab"
	"github.com/vpcchain/vpcchain/integration/performance"
)

// Names and an address of the default topology.
const (
	otherNode = "node-b"
	web       = "52.78.83.169"
)

// runStreams measures between two pods of a node, to a pod of another node, and
// to the internet, with the node's address as source.
func runStreams(ctx context.Context, o options, _ *performance.Run) (report string, err error) {
	err = onSimulation(ctx, o, "", nil, func(l *lab.Lab, daemon *lab.Process) error {
		other, err := l.StartDaemon(ctx, otherNode)
		if err != nil {
			return err
		}
		defer func() { _ = other.Stop(syscall.SIGTERM) }()
		host, err := standIn(ctx, l, "web")
		if err != nil {
			return err
		}
		defer func() { _ = host.Stop(syscall.SIGKILL) }()
		var pods []path.Pod
		defer func() {
			for _, p := range pods {
				p.Space.Close()
			}
		}()
		for _, at := range []struct {
			node   string
			daemon *lab.Process
		}{{node, daemon}, {otherNode, other}} {
			made, err := addPods(ctx, l, o, at.node, 0, 2)
			if err != nil {
				return err
			}
			for _, m := range made {
				s, err := path.Open(seenBy(at.daemon, m.Netns))
				if err != nil {
					return err
				}
				pods = append(pods, path.Pod{Space: s, Addr: m.Addr})
			}
		}
		outside, err := path.Of(host.PID())
		if err != nil {
			return err
		}
		defer outside.Close()
		report, err = path.Streams(ctx, []path.Way{
			{Name: "pod to pod on the node", From: pods[0], To: pods[1]},
			{Name: "pod to pod on another node", From: pods[0], To: pods[2]},
			{Name: "pod to the internet", From: pods[0], To: path.Pod{Space: outside, Addr: netip.MustParseAddr(web)}},
		})
		return err
	})
	return report, err
}
