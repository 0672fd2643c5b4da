package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/vpcchain/vpcchain/integration/lab"
	"github.com/vpcchain/vpcchain/integration/scenario"
)

func (d *demo) nodeSNAT(ctx context.Context) error {
	d.title("vpc-snat: a pod with custom networking on eth1 fetches http://52.78.83.169/ three times")
	d.say("AWS_VPC_K8S_CNI_EXTERNALSNAT=false: the node's address, by the primary ENI")
	return d.scenario(ctx, false)
}

func (d *demo) externalSNAT(ctx context.Context) error {
	d.title("vpc-snat: the same, and something outside the node does the SNAT")
	d.say("AWS_VPC_K8S_CNI_EXTERNALSNAT=true: the pod's own address, by its own ENI, through the NAT gateway")
	return d.scenario(ctx, true)
}

// scenario plays one half on a simulation of its own and shows what was seen
// next to what is to be seen.
func (d *demo) scenario(ctx context.Context, external bool) error {
	d.stop()
	var err error
	if d.lab, err = lab.Up(ctx, d.bin, "demo", ""); err != nil {
		return err
	}
	r, err := scenario.Play(ctx, d.lab, d.conflist, external)
	if err != nil {
		return err
	}
	want := scenario.Want(external)
	for _, name := range []string{"POSTROUTING", "AWS-SNAT-CHAIN-0", "AWS-SNAT-CHAIN-1", "AWS-SNAT-CHAIN-2"} {
		if listing, ok := r.Listings[name]; ok {
			d.say("$ iptables -t nat -nvL %s", name)
			for line := range strings.Lines(listing) {
				d.say("  %s", strings.TrimRight(line, "\n"))
			}
		}
	}
	for _, link := range []string{"eth0", "eth1"} {
		d.say("$ vpcsim capture %s %s dst host %s", scenario.Node, link, scenario.Web().Addr())
		packets := r.On(link)
		if len(packets) == 0 {
			d.say("  no packet")
		}
		for _, p := range packets {
			expected := "no packet here"
			if link == want.Link {
				expected = want.Source.String()
			}
			d.say("  %-15s %-13s %-4s %-62s | expected %s", p.Source.Addr(), p.Dest.Addr(), p.Protocol, p.Info, expected)
		}
	}
	d.say("$ vpcctl explain %s %s %d", r.Pod.Addr, scenario.Web().Addr(), scenario.Web().Port())
	for line := range strings.Lines(r.Way) {
		d.say("  %s", strings.TrimRight(line, "\n"))
	}
	for i, g := range r.Gets {
		d.pass("fetch %d from %s: %q", i+1, g.Local, g.Body)
	}
	if problems := r.Problems(); len(problems) > 0 {
		d.fail("the captures and chains are as expected", fmt.Errorf("%s", strings.Join(problems, "; ")))
		return nil
	}
	d.pass("every packet has source %s and leaves by %s, as vpcctl explains; the chains are as expected", want.Source, want.Link)
	return nil
}
