// Package scenario plays the observation that the SNAT is measured by: a pod
// 100.64.47.199 on the second ENI of node 10.20.11.162 fetches a page of a web
// server on the internet three times, once with the node's SNAT and once with
// AWS_VPC_K8S_CNI_EXTERNALSNAT=true. What it returns was read from the links and
// from iptables; the figures to compare with are in Figures.
package scenario

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/vpcchain/vpcchain/integration/lab"
	"github.com/vpcchain/vpcchain/integration/vpcsim/capture"
)

// Node is the node of the scenario.
const Node = "node-a"

// eniConfig puts pods into the pod subnet of the node's zone.
const eniConfig = `apiVersion: crd.k8s.amazonaws.com/v1alpha1
kind: ENIConfig
metadata: {name: us-west-2a}
spec:
  subnet: subnet-pod-a
  securityGroups: [sg-nodes]
`

// Run is what was seen.
type Run struct {
	External bool
	Pod      lab.Pod
	Gets     []lab.Seen
	Primary  []capture.Packet  // to the web server on the primary ENI, eth0
	Second   []capture.Packet  // and on eth1
	Listings map[string]string // `iptables -t nat -nvL <chain>`, by chain
	Way      string            // `vpcctl explain`, pod to web server
	Verdict  Verdict           // and what that comes to
}

// Verdict is what vpcctl says of the packets: where they leave and with which source.
type Verdict struct {
	Link   string     `json:"link"`
	Source netip.Addr `json:"source"`
	SNAT   bool       `json:"snat"`
}

// Web is the server on the internet.
func Web() netip.AddrPort { return netip.MustParseAddrPort("52.78.83.169:80") }

// CustomNetworking is the daemon's environment for pods in the pod subnet. It
// writes the ENIConfig on the node.
func CustomNetworking(ctx context.Context, l *lab.Lab, node string) ([]string, error) {
	dir, err := os.MkdirTemp("", "eniconfig")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	file := filepath.Join(dir, "eniconfig.yaml")
	if err := os.WriteFile(file, []byte(eniConfig), 0o644); err != nil {
		return nil, err
	}
	if _, err := l.Exec(ctx, node, "install", "-D", "-m", "644", file, "/etc/vpc-cni/eniconfigs/us-west-2a.yaml"); err != nil {
		return nil, err
	}
	return []string{"AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG=true", "MAX_ENI=2"}, nil
}

// Play runs the scenario on a fresh simulation with the conflist.
func Play(ctx context.Context, l *lab.Lab, conflist string, external bool) (r Run, err error) {
	r.External = external
	env, err := CustomNetworking(ctx, l, Node)
	if err != nil {
		return r, err
	}
	d, err := l.StartDaemon(ctx, Node, append(env, fmt.Sprintf("AWS_VPC_K8S_CNI_EXTERNALSNAT=%t", external))...)
	if err != nil {
		return r, err
	}
	defer func() { _ = d.Stop(syscall.SIGTERM) }()
	if err := l.InstallConflist(ctx, Node, conflist); err != nil {
		return r, err
	}
	r.Pod = lab.Pod{Node: Node, Network: "vpc", Name: "web-client"}
	if err := l.NewNetns(ctx, Node, r.Pod.Name); err != nil {
		return r, err
	}
	// The kernel's own default. A SYN's window scale follows from it, and a new
	// namespace takes over what this machine was tuned to.
	if _, err := l.Exec(ctx, Node, "nsenter", "--net="+r.Pod.Netns(), "--", "sh", "-c", "echo 4096 131072 6291456 > /proc/sys/net/ipv4/tcp_rmem"); err != nil {
		return r, err
	}
	if r.Pod, err = l.Add(ctx, r.Pod); err != nil {
		return r, fmt.Errorf("%w\n%s", err, d.Log())
	}
	if err := r.capture(ctx, l); err != nil {
		return r, err
	}
	if err := r.list(ctx, l); err != nil {
		return r, err
	}
	return r, r.explain(ctx, l)
}

func (r *Run) capture(ctx context.Context, l *lab.Lab) error {
	filter := "dst host " + Web().Addr().String()
	links := map[string]*[]capture.Packet{"eth0": &r.Primary, "eth1": &r.Second}
	running := map[string]*lab.Capture{}
	for link := range links {
		c, err := l.Capture(ctx, Node, link, filter)
		if err != nil {
			return err
		}
		running[link] = c
	}
	for range 3 {
		seen, err := l.Get(ctx, lab.PodEnd(r.Pod), Web())
		if err != nil {
			return fmt.Errorf("fetching from %s: %w", Web(), err)
		}
		r.Gets = append(r.Gets, seen)
	}
	for link, c := range running {
		packets, err := c.Stop()
		if err != nil {
			return err
		}
		*links[link] = packets
	}
	return nil
}

// explain asks vpcctl for the way of what was captured.
func (r *Run) explain(ctx context.Context, l *lab.Lab) (err error) {
	ask := []string{l.Bin("vpcctl"), "explain", r.Pod.Addr.String(), Web().Addr().String(), strconv.Itoa(int(Web().Port()))}
	if r.Way, err = l.Exec(ctx, Node, ask...); err != nil {
		return err
	}
	raw, err := l.Exec(ctx, Node, append(ask, "--json")...)
	if err != nil {
		return err
	}
	var way struct {
		Verdict Verdict `json:"verdict"`
	}
	if err := json.Unmarshal([]byte(raw), &way); err != nil {
		return fmt.Errorf("reading vpcctl explain --json: %w", err)
	}
	r.Verdict = way.Verdict
	return nil
}

// list reads the chains that POSTROUTING leads to.
func (r *Run) list(ctx context.Context, l *lab.Lab) error {
	r.Listings = map[string]string{}
	all, err := l.Exec(ctx, Node, "iptables", "-t", "nat", "-S")
	if err != nil {
		return err
	}
	names := []string{"POSTROUTING"}
	for line := range strings.Lines(all) {
		if name, ok := strings.CutPrefix(line, "-N "); ok {
			names = append(names, strings.TrimSpace(name))
		}
	}
	for _, name := range names {
		if r.Listings[name], err = l.Exec(ctx, Node, "iptables", "-t", "nat", "-nvL", name); err != nil {
			return err
		}
	}
	return nil
}
