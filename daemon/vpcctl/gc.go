package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/vpcchain/vpcchain/pkg/ipamapi"
)

// gcView is the JSON of `vpcctl gc`; its names are stable.
type gcView struct {
	DryRun   bool         `json:"dryRun"`
	Released []gcItemView `json:"released"` // with dryRun, those that would be
	Kept     []gcItemView `json:"kept"`     // that have no interface on the node, and stay
	Alive    int          `json:"alive"`
	Runtime  bool         `json:"runtimeAsked"`
}

type gcItemView struct {
	Address     string `json:"address"`
	Network     string `json:"network"`
	ContainerID string `json:"containerID"`
	IfName      string `json:"ifname"`
	Namespace   string `json:"namespace"`
	Pod         string `json:"pod"`
	Why         string `json:"why"`
}

func gcCommand() command {
	return command{
		name: "gc", short: "release what is held for pods that are gone, as a GC of the runtime would",
		flags: daemonFlags(flagSpec{name: "dry-run", help: "say what would be released"}),
		detail: `Two sources must agree that a pod is gone: the kernel has neither its interface nor its network namespace, and the
runtime (CRI_SOCKET of vpc-ipamd) does not know its sandbox; without a runtime, both have been gone for ORPHAN_GRACE_PERIOD.
What is younger than that stays: its ADD may be under way. The daemon does the same by itself after that time.
`,
		run: func(ctx context.Context, c call) (int, error) {
			conn, err := c.dial()
			if err != nil {
				return exitError, err
			}
			defer func() { _ = conn.Close() }()
			ctx, cancel := context.WithTimeout(ctx, 2*asking) // a runtime on a full node takes its time
			defer cancel()
			r, err := ipamapi.NewAdminClient(conn).Sweep(ctx, &ipamapi.SweepRequest{DryRun: c.on("dry-run")})
			if err != nil {
				return exitError, fmt.Errorf("nothing is released: %w", silence(err))
			}
			v := gcView{DryRun: c.on("dry-run"), Released: gcItems(r.GetReleased()), Kept: gcItems(r.GetKept()), Alive: int(r.GetAlive()), Runtime: r.GetRuntime()}
			if c.on("json") {
				return 0, printJSON(c.out, v)
			}
			return 0, v.print(c.out)
		},
	}
}

func gcItems(list []*ipamapi.SweepItem) []gcItemView {
	out := []gcItemView{}
	for _, i := range list {
		a, p := i.GetAttachment(), i.GetPod()
		out = append(out, gcItemView{i.GetAddress(), a.GetNetwork(), a.GetContainerId(), a.GetIfname(), p.GetNamespace(), p.GetName(), i.GetWhy()})
	}
	return out
}

func (v gcView) print(out io.Writer) error {
	done := "released"
	if v.DryRun {
		done = "would go"
	}
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, part := range []struct {
		what  string
		items []gcItemView
	}{{done, v.Released}, {"stays", v.Kept}} {
		for _, i := range part.items {
			pod := i.Pod
			if pod != "" {
				pod = i.Namespace + "/" + pod
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%s/%s/%s\t%s\n", part.what, i.Address, cmp.Or(pod, "-"), i.Network, i.ContainerID, i.IfName, i.Why)
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	asked := "the runtime was not asked: CRI_SOCKET is not set"
	if v.Runtime {
		asked = "the runtime was asked"
	}
	_, err := fmt.Fprintf(out, "%d %s, %d stay without an interface, %d have theirs; %s\n", len(v.Released), done, len(v.Kept), v.Alive, asked)
	return err
}
