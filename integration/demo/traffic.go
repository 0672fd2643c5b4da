package main

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/vpcchain/vpcchain/integration/lab"
)

// Addresses of the default topology.
const (
	nodeA    = "node-a"
	endpoint = "endpoint"
	onPrem   = "onprem"
	internet = "web"
	publicA  = "54.70.11.162" // node-a's address on the internet
)

// A conversation is one cell of the matrix.
type conversation struct {
	what     string
	from, to lab.End
	dst      netip.Addr
	source   netip.Addr // what the far end must see
}

// traffic tries every kind of way a packet can take, with a TCP connection
// (whose far end tells which source it saw) and a ping.
func (d *demo) traffic(ctx context.Context) error {
	d.title("Who can talk to whom: TCP connections and pings")
	cells, err := d.matrix()
	if err != nil {
		return err
	}
	const port = 8080
	served := map[lab.End]bool{}
	for _, c := range cells {
		if served[c.to] {
			continue
		}
		s, err := d.lab.Serve(ctx, c.to, port)
		if err != nil {
			return err
		}
		served[c.to] = true
		d.servers = append(d.servers, s)
	}
	for _, c := range cells {
		seen, err := d.lab.Dial(ctx, c.from, netip.AddrPortFrom(c.dst, port))
		if err == nil && seen.Client.Addr() != c.source {
			err = fmt.Errorf("the far end saw %s, not %s", seen.Client.Addr(), c.source)
		}
		d.try(fmt.Sprintf("tcp  %-34s %15s -> %-15s", c.what, c.source, c.dst), err)
		d.try(fmt.Sprintf("ping %-34s %15s -> %-15s", c.what, c.source, c.dst), d.lab.Ping(ctx, c.from, c.dst))
	}
	return nil
}

func (d *demo) matrix() ([]conversation, error) {
	first, second := d.podList[0], d.podList[1]
	var other, remote lab.Pod // on node-a's second ENI, and on node-b
	for _, p := range d.podList {
		switch {
		case p.Node != nodeA:
			remote = p
		case p.ENI != first.ENI:
			other = p
		}
	}
	if other.Name == "" || second.ENI != first.ENI {
		return nil, fmt.Errorf("the pods do not spread over two ENIs as expected: %v", d.podList)
	}
	hosts, err := d.lab.HostAddrs(context.Background())
	if err != nil {
		return nil, err
	}
	pod := func(what string, from, to lab.Pod) conversation {
		return conversation{what, lab.PodEnd(from), lab.PodEnd(to), to.Addr, from.Addr}
	}
	out := func(what string, from lab.Pod, host string) conversation {
		return conversation{what, lab.PodEnd(from), lab.HostEnd(host), hosts[host], from.Addr}
	}
	// Out of the VPC a pod's packets have the node's address, on the internet its public one.
	snat := func(what string, from lab.Pod, host string, source netip.Addr) conversation {
		return conversation{what, lab.PodEnd(from), lab.HostEnd(host), hosts[host], source}
	}
	in := func(what, host string, to lab.Pod) conversation {
		return conversation{what, lab.HostEnd(host), lab.PodEnd(to), to.Addr, hosts[host]}
	}
	return []conversation{
		pod("pod to pod, same node, same ENI", first, second),
		pod("pod to pod, same node, other ENI", first, other),
		pod("and back", other, first),
		pod("pod to pod, other node", first, remote),
		pod("pod to pod, other node, 2nd ENI", other, remote),
		pod("and back", remote, other),
		out("pod to VPC endpoint", first, endpoint),
		out("pod to VPC endpoint, 2nd ENI", other, endpoint),
		snat("pod to on premises", first, onPrem, hosts[nodeA]),
		snat("pod to on premises, 2nd ENI", other, onPrem, hosts[nodeA]),
		snat("pod to the internet", first, internet, netip.MustParseAddr(publicA)),
		snat("pod to the internet, 2nd ENI", other, internet, netip.MustParseAddr(publicA)),
		in("on premises to pod", onPrem, first),
		in("on premises to pod, 2nd ENI", onPrem, other),
		in("node to its own pod", nodeA, first),
		in("node to its own pod, 2nd ENI", nodeA, other),
		in("node to a pod on the other node", nodeA, remote),
		out("pod to its own node", first, nodeA),
	}, nil
}
