package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/vpcchain/vpcchain/pkg/ipamapi"
)

// podView is an attachment; its names are stable.
type podView struct {
	Namespace   string     `json:"namespace"`
	Pod         string     `json:"pod"`
	Network     string     `json:"network"`
	ContainerID string     `json:"containerID"`
	IfName      string     `json:"ifname"`
	Address     string     `json:"address"`        // empty where the kernel has no route to it
	ENI         string     `json:"eni"`            // that has the address; of a branch ENI, itself
	Link        string     `json:"link"`           // host veth
	Since       *time.Time `json:"since"`          // null where nothing tells
	VLAN        int        `json:"vlan,omitempty"` // of a branch ENI
	Note        string     `json:"note,omitempty"`
}

// podsView is the JSON of `vpcctl pods`.
type podsView struct {
	Source string    `json:"source"` // daemon, kernel
	Books  bool      `json:"books"`  // of the kernel's: names and times are from the state file
	Pods   []podView `json:"pods"`
	Notes  []string  `json:"notes,omitempty"`
}

func podsCommand() command {
	return command{
		name: "pods", short: "who has which address, by which links, since when", flags: nodeFlags(),
		detail: `Without vpc-ipamd the kernel answers: aliases of host veths, their routes, and what the state file has of them.
`,
		run: func(ctx context.Context, c call) (int, error) {
			conn, err := c.dial()
			if err != nil {
				return exitError, err
			}
			defer func() { _ = conn.Close() }()
			asked, cancel := context.WithTimeout(ctx, asking)
			defer cancel()
			var v podsView
			r, err := ipamapi.NewAdminClient(conn).Pool(asked, &ipamapi.PoolRequest{})
			if err == nil {
				v = podsOf(r)
			} else if v, err = kernelPods(ctx, c.text("state-dir")); err != nil {
				return exitError, err
			}
			if c.on("json") {
				return 0, printJSON(c.out, v)
			}
			return 0, v.print(c.out, time.Now())
		},
	}
}

// podsOf are those that the daemon knows.
func podsOf(r *ipamapi.PoolReply) podsView {
	v := podsView{Source: "daemon", Pods: []podView{}}
	add := func(eni string, a *ipamapi.Attachment, p *ipamapi.Pod, out podView, since int64) {
		if a.GetContainerId() == "" {
			return
		}
		out.ENI, out.Network, out.ContainerID, out.IfName = eni, a.GetNetwork(), a.GetContainerId(), a.GetIfname()
		out.Namespace, out.Pod = p.GetNamespace(), p.GetName()
		if since > 0 {
			at := time.Unix(since, 0).UTC()
			out.Since = &at
		}
		v.Pods = append(v.Pods, out)
	}
	for _, e := range r.GetEnis() {
		for _, a := range e.GetAddresses() {
			add(e.GetEni().GetId(), a.GetAttachment(), a.GetPod(), podView{Address: a.GetAddress(), Link: a.GetLink(), Note: a.GetNote()}, a.GetSince())
		}
	}
	for _, a := range r.GetLost() {
		add("", a.GetAttachment(), a.GetPod(), podView{Address: a.GetAddress(), Link: a.GetLink(), Note: a.GetNote()}, a.GetSince())
	}
	for _, b := range r.GetTrunk().GetBranches() {
		p := podView{Address: b.GetAddress(), Link: b.GetLink(), VLAN: int(b.GetBranch().GetVlanId()), Note: b.GetNote()}
		add(b.GetBranch().GetId(), b.GetAttachment(), b.GetPod(), p, b.GetSince())
	}
	v.sort()
	return v
}

func (v podsView) sort() {
	slices.SortFunc(v.Pods, func(a, b podView) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Pod, b.Pod), strings.Compare(a.ContainerID, b.ContainerID), strings.Compare(a.IfName, b.IfName))
	})
}

func (v podsView) print(out io.Writer, now time.Time) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if len(v.Pods) == 0 {
		fmt.Fprintln(out, "no pods")
	} else {
		fmt.Fprintln(t, "POD\tADDRESS\tENI\tLINK\tAGE\tVLAN\tIFNAME\tNETWORK\tCONTAINER")
	}
	for _, p := range v.Pods {
		name, age, vlan := "-", "-", "-"
		if p.Pod != "" {
			name = p.Namespace + "/" + p.Pod
		}
		if p.Since != nil {
			age = now.Sub(*p.Since).Round(time.Second).String()
		}
		if p.VLAN != 0 {
			vlan = fmt.Sprint(p.VLAN)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", name, cmp.Or(p.Address, "-"), cmp.Or(p.ENI, "-"), cmp.Or(p.Link, "-"), age, vlan, p.IfName, p.Network, p.ContainerID)
	}
	err := t.Flush()
	switch {
	case v.Source == "kernel" && v.Books:
		fmt.Fprintln(out, "from the kernel, with names and times of the state file: vpc-ipamd does not answer")
	case v.Source == "kernel":
		fmt.Fprintln(out, "from the kernel: vpc-ipamd does not answer")
	}
	var errs []error
	for _, n := range v.Notes {
		_, err := fmt.Fprintln(out, "note:", n)
		errs = append(errs, err)
	}
	for _, p := range v.Pods {
		if p.Note != "" {
			_, err := fmt.Fprintf(out, "%s of %s/%s/%s: %s\n", p.Address, p.Network, p.ContainerID, p.IfName, p.Note)
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, err)...)
}
