package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/vpcchain/vpcchain/integration/lab"
)

const network = "vpc"

// podsOnA is one more than the addresses of an m5.large's first ENI (9), so
// that the last pod's address is on a second ENI.
const podsOnA = 10

func (d *demo) vpc(ctx context.Context) error {
	d.title("A VPC in a box: two EC2 instances, a VPC endpoint, a host on premises, the internet")
	var err error
	if d.lab, err = lab.Up(ctx, d.bin, "demo", ""); err != nil {
		return err
	}
	topology, err := d.lab.Topology(ctx)
	if err != nil {
		return err
	}
	for line := range strings.Lines(topology) {
		d.say("%s", strings.TrimRight(line, "\n"))
	}
	d.pass("the VPC runs; nothing of it touches this machine's own interfaces")
	return nil
}

func (d *demo) daemons(ctx context.Context) error {
	d.title("vpc-ipamd on both instances: finds its ENI, keeps a warm pool of addresses")
	for _, node := range []string{"node-a", "node-b"} {
		// A short cooldown, so that the end of the demo can show its rules gone.
		p, err := d.lab.StartDaemon(ctx, node, "IP_COOLDOWN_PERIOD=2")
		if err != nil {
			return err
		}
		d.procs = append(d.procs, p)
		if err := d.lab.InstallConflist(ctx, node, d.conflist); err != nil {
			return err
		}
		d.pass("vpc-ipamd serves on %s", node)
		if err := d.showPool(ctx, node); err != nil {
			return err
		}
	}
	raw, err := os.ReadFile(d.conflist)
	if err != nil {
		return err
	}
	d.say("the conflist that cnitool runs:")
	for line := range strings.Lines(string(raw)) {
		d.say("  %s", strings.TrimRight(line, "\n"))
	}
	return nil
}

func (d *demo) showPool(ctx context.Context, node string) error {
	out, err := d.lab.Exec(ctx, node, d.lab.Bin("vpcctl"), "pool")
	if err != nil {
		return err
	}
	for line := range strings.Lines(out) {
		d.say("%s| %s", node, strings.TrimRight(line, "\n"))
	}
	return nil
}

func (d *demo) pods(ctx context.Context) error {
	d.title("cnitool add: %d pods on node-a, one on node-b", podsOnA)
	for i := range podsOnA + 1 {
		node, name := "node-a", fmt.Sprintf("pod-a%d", i+1)
		if i == podsOnA {
			node, name = "node-b", "pod-b1"
		}
		p, err := d.lab.AddPod(ctx, node, network, name)
		if err != nil {
			return err
		}
		d.podList = append(d.podList, p)
		d.pass("%s on %s: %s on %s, host end %s, %d ms", name, node, p.Addr, p.ENI, p.HostEnd, p.Took.Milliseconds())
	}
	d.say("the warm pool of node-a now:")
	return d.showPool(ctx, "node-a")
}

func (d *demo) check(ctx context.Context) error {
	d.title("cnitool check: the kernel is what ADD promised")
	for _, p := range d.podList {
		_, err := d.lab.CNITool(ctx, "check", p)
		d.try("CHECK of "+p.Name, err)
	}
	return nil
}

func (d *demo) remove(ctx context.Context) error {
	d.title("cnitool del: and nothing is left")
	for _, p := range d.podList {
		d.try("DEL of "+p.Name, d.lab.DelPod(ctx, p))
	}
	for _, node := range []string{"node-a", "node-b"} {
		var left []string
		err := lab.Poll(ctx, func() (err error) {
			if left, err = d.lab.Leftovers(ctx, node); err != nil {
				return lab.Permanent(err)
			}
			if len(left) > 0 {
				return fmt.Errorf("still there: %s", strings.Join(left, "; "))
			}
			return nil
		})
		d.try("no pod link, route, rule, address or cache entry is left on "+node, err)
	}
	return d.showPool(ctx, "node-a")
}
