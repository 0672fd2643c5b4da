package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/vpcchain/vpcchain/pkg/ipamapi"
)

// trunkView is the trunk ENI with its branches; its names are stable.
type trunkView struct {
	ID       string       `json:"id"` // empty while there is none
	MAC      string       `json:"mac"`
	MTU      int          `json:"mtu"`
	Device   int          `json:"device"`
	Ready    bool         `json:"ready"`
	Note     string       `json:"note"`
	Limit    int          `json:"limit"`
	Waiters  int          `json:"waiters"`
	Branches []branchView `json:"branches"`
}

type branchView struct {
	ID          string   `json:"id"`
	VLAN        int      `json:"vlan"`
	MAC         string   `json:"mac"`
	Address     string   `json:"address"`
	Subnet      string   `json:"subnet"`
	State       string   `json:"state"` // in use, warm, cooling, creating, deleting, in doubt
	Groups      []string `json:"groups"`
	Announced   bool     `json:"announced"` // by the VPC resource controller
	Note        string   `json:"note,omitempty"`
	Network     string   `json:"network,omitempty"`
	ContainerID string   `json:"containerID,omitempty"`
	IfName      string   `json:"ifname,omitempty"`
	Namespace   string   `json:"namespace,omitempty"`
	Pod         string   `json:"pod,omitempty"`
}

func trunkOf(t *ipamapi.PoolTrunk) *trunkView {
	if t == nil {
		return nil
	}
	e := t.GetEni()
	v := &trunkView{
		ID: e.GetId(), MAC: e.GetMac(), MTU: int(e.GetMtu()), Device: int(e.GetDevice()), Ready: t.GetReady(), Note: t.GetNote(),
		Limit: int(t.GetLimit()), Waiters: int(t.GetWaiters()), Branches: []branchView{},
	}
	for _, b := range t.GetBranches() {
		a, p := b.GetAttachment(), b.GetPod()
		v.Branches = append(v.Branches, branchView{
			ID: b.GetBranch().GetId(), VLAN: int(b.GetBranch().GetVlanId()), MAC: b.GetBranch().GetMac(), Address: b.GetAddress(), Subnet: b.GetSubnet(),
			State: b.GetState(), Groups: b.GetGroups(), Announced: b.GetAnnounced(), Note: b.GetNote(),
			Network: a.GetNetwork(), ContainerID: a.GetContainerId(), IfName: a.GetIfname(), Namespace: p.GetNamespace(), Pod: p.GetName(),
		})
	}
	return v
}

// inUse is how many branches pods have.
func (v *trunkView) inUse() int {
	n := 0
	for _, b := range v.Branches {
		if b.State == "in use" {
			n++
		}
	}
	return n
}

// print writes the trunk as text.
func (v *trunkView) print(out io.Writer) error {
	if v == nil {
		return nil
	}
	name := v.ID
	if name == "" {
		name = "none"
	}
	fmt.Fprintf(out, "trunk %s: %d of %d branch ENIs", name, len(v.Branches), v.Limit)
	if v.Waiters > 0 {
		fmt.Fprintf(out, ", %d pods wait", v.Waiters)
	}
	if v.Note != "" {
		fmt.Fprintf(out, ": %s", v.Note)
	}
	fmt.Fprintln(out)
	if len(v.Branches) == 0 {
		return nil
	}
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "VLAN\tBRANCH\tADDRESS\tSTATE\tGROUPS\tPOD\tNOTE")
	for _, b := range v.Branches {
		groups, pod := strings.Join(b.Groups, ","), b.ContainerID
		if b.Announced {
			groups = "of the controller"
		}
		if b.Pod != "" {
			pod = b.Namespace + "/" + b.Pod
		}
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t%s\t%s\n", b.VLAN, b.ID, b.Address, b.State, groups, pod, b.Note)
	}
	return t.Flush()
}
