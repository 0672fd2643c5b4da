package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/daemon/internal/limits"
	"github.com/vpcchain/vpcchain/pkg/ipamapi"
)

// capacityView is the JSON of `vpcctl max-pods`; its names are stable.
type capacityView struct {
	Type       string     `json:"type"`
	Source     string     `json:"source"` // table, daemon
	ENIs       int        `json:"enis"`   // on network card 0
	IPv4PerENI int        `json:"ipv4PerENI"`
	Hypervisor string     `json:"hypervisor"` // empty: bare metal
	Branches   int        `json:"branchENIs"`
	Modes      []modeView `json:"modes"`
}

type modeView struct {
	Prefixes         bool `json:"prefixes"`
	CustomNetworking bool `json:"customNetworking"`
	PodENI           bool `json:"podENI"`
	ENIs             int  `json:"enis"`   // that carry pods of the pool
	PerENI           int  `json:"perENI"` // addresses for pods on each
	Addresses        int  `json:"addresses"`
	MaxPods          int  `json:"maxPods"`
	Kubelet          int  `json:"kubelet"` // the recommended maximum
}

func maxPodsCommand() command {
	return command{
		name: "max-pods", short: "how many pods an instance type carries, in each mode; without TYPE, this node's",
		operands: []operand{{name: "TYPE", optional: true}},
		flags: daemonFlags(
			flagSpec{name: "prefix", help: "with ENABLE_PREFIX_DELEGATION alone"},
			flagSpec{name: "custom-networking", help: "with AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG alone: no pod on the primary ENI"},
			flagSpec{name: "pod-eni", help: "with ENABLE_POD_ENI: one ENI carries branch ENIs instead"},
		),
		detail: `ENIs × addresses, from AWS's published limits. MAX PODS adds two of the node's own network: the DaemonSet's and kube-proxy.
KUBELET is the maximum that AWS recommends to give the kubelet: at most 110, or 250 from 30 vCPUs on.
`,
		run: maxPods,
	}
}

func maxPods(ctx context.Context, c call) (int, error) {
	v, err := limitsOf(ctx, c)
	if err != nil {
		return exitError, err
	}
	l := eni.Limits{ENIs: v.ENIs, IPv4PerENI: v.IPv4PerENI, Hypervisor: v.Hypervisor, Branches: v.Branches}
	for _, prefixes := range []bool{false, true} {
		for _, custom := range []bool{false, true} {
			if prefixes && !l.Prefixes() || !prefixes && c.on("prefix") || !custom && c.on("custom-networking") {
				continue
			}
			got := limits.For(l, v.Type, limits.Mode{Prefixes: prefixes, Custom: custom, Trunk: c.on("pod-eni")})
			v.Modes = append(v.Modes, modeView{prefixes, custom, c.on("pod-eni"), got.ENIs, got.PerENI, got.Addresses, got.Pods, got.Kubelet})
		}
	}
	switch {
	case c.on("prefix") && !l.Prefixes():
		return exitError, fmt.Errorf("EC2 delegates prefixes to Nitro instances and bare metal only, and a %s is on %s", v.Type, v.Hypervisor)
	case c.on("pod-eni") && l.Branches == 0:
		return exitError, fmt.Errorf("a %s carries no trunk ENI, as far as is known, and so no branch ENIs", v.Type)
	case c.on("json"):
		return 0, printJSON(c.out, v)
	}
	return 0, v.print(c.out)
}

// limitsOf asks the table, and for this node's own type the daemon.
func limitsOf(ctx context.Context, c call) (capacityView, error) {
	v := capacityView{Source: "table", Modes: []modeView{}}
	if len(c.words) > 0 {
		v.Type = c.words[0]
		l, ok, err := limits.Of(v.Type)
		if ok || err != nil {
			v.ENIs, v.IPv4PerENI, v.Hypervisor, v.Branches = l.ENIs, l.IPv4PerENI, l.Hypervisor, l.Branches
			return v, err
		}
	}
	own, err := ownLimits(ctx, c)
	if err == nil && (v.Type == "" || v.Type == own.GetType()) {
		l := own.GetLimits()
		v.Type, v.Source = own.GetType(), "daemon"
		v.ENIs, v.IPv4PerENI, v.Hypervisor, v.Branches = int(l.GetEnis()), int(l.GetIpv4PerEni()), l.GetHypervisor(), int(l.GetBranches())
		return v, nil
	}
	if v.Type == "" {
		return v, fmt.Errorf("this node's type is not known: name it: %w", err)
	}
	return v, unknownType(v.Type)
}

func ownLimits(ctx context.Context, c call) (*ipamapi.NodeReply, error) {
	conn, err := c.dial()
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r, err := ipamapi.NewAdminClient(conn).Node(ctx, &ipamapi.NodeRequest{})
	if err != nil {
		return nil, silence(err)
	}
	return r, nil
}

// unknownType says what is known instead, and who knows more.
func unknownType(name string) error {
	family, err := limits.Family(name)
	if err != nil {
		return err
	}
	text := name + " is not in the table of instance types"
	if len(family) > 0 {
		text += ", which has " + strings.Join(family, ", ")
	}
	return errors.New(text + "; EC2 knows it: aws ec2 describe-instance-types --instance-types " + name +
		" --query 'InstanceTypes[].NetworkInfo.[MaximumNetworkInterfaces,Ipv4AddressesPerInterface]'; vpc-ipamd on such a node asks by itself: vpcctl max-pods there")
}

func (v capacityView) print(out io.Writer) error {
	hypervisor, branches := v.Hypervisor, "no branch ENIs known"
	if hypervisor == "" {
		hypervisor = "bare metal"
	}
	if v.Branches > 0 {
		branches = fmt.Sprintf("%d branch ENIs", v.Branches)
	}
	fmt.Fprintf(out, "%s: %d ENIs with %d IPv4 addresses each, %s, %s\n", v.Type, v.ENIs, v.IPv4PerENI, hypervisor, branches)
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "MODE\tENIS\tEACH\tADDRESSES\tMAX PODS\tKUBELET")
	for _, m := range v.Modes {
		mode := "single addresses"
		if m.Prefixes {
			mode = "prefixes"
		}
		if m.CustomNetworking {
			mode += ", custom networking"
		}
		if m.PodENI {
			mode += ", a trunk"
		}
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\n", mode, m.ENIs, m.PerENI, m.Addresses, m.MaxPods, m.Kubelet)
	}
	return t.Flush()
}
