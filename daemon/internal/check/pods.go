package check

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/vpcchain/vpcchain/daemon/internal/branch"
	"github.com/vpcchain/vpcchain/daemon/internal/hostnet"
	"github.com/vpcchain/vpcchain/daemon/internal/rebuild"
	"github.com/vpcchain/vpcchain/daemon/internal/state"
	"github.com/vpcchain/vpcchain/pkg/nodefacts"
	"github.com/vpcchain/vpcchain/pkg/sgpp"
	"github.com/vpcchain/vpcchain/pkg/spool"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// inside looks into the pods' network namespaces.
func (r *Report) inside(stateDir string, held *Held) error {
	d, err := wanted(stateDir, held)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	pods := slices.Clone(d.Pods)
	branches, _, err := promised(stateDir, held)
	if err != nil {
		return err
	}
	for _, b := range branches {
		pods = append(pods, hostnet.Pod{Addr: b.Addr, HostVeth: b.HostVeth})
	}
	h, err := hostnet.New(hostnet.Options{})
	if err != nil {
		return err
	}
	defer h.Close()
	found, notes, err := h.CheckInside(pods, rebuild.NetnsDirs()...)
	for _, f := range found {
		r.Differences = append(r.Differences, Difference{"pod", f.Object, f.Text, f.Repair})
	}
	r.Notes = append(r.Notes, notes...)
	return err
}

// promised are the branches that pods use: the daemon's, or where it does not
// answer those of its state file, in which case note says what is missing.
func promised(stateDir string, held *Held) (branches []sgpp.Branch, note string, err error) {
	if held != nil {
		return held.Branches, "", nil
	}
	_, booked, err := state.Peek(filepath.Join(stateDir, "ipamd.db"))
	if err != nil {
		return nil, fmt.Sprintf("branch ENIs are not compared: %s", err), nil
	}
	facts, err := nodefacts.Read(filepath.Join(stateDir, "node.json"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, "", err
	}
	gone, err := spool.List(filepath.Join(stateDir, "spool"))
	return inUse(booked, gone, facts), "", err
}

// inUse are the booked branches that pods have, but for those whose DEL nobody heard.
func inUse(booked []branch.Branch, gone []vpcnet.Attachment, facts nodefacts.Facts) []sgpp.Branch {
	var out []sgpp.Branch
	for _, b := range booked {
		if b.Holder == nil || slices.Contains(gone, b.Holder.Attachment) {
			continue
		}
		a, p := b.Holder.Attachment, b.Holder.Pod
		veth := p.HostVeth
		if veth == "" {
			veth = vpcnet.HostVethName(facts.VethPrefix, p.Namespace, p.Name, a.ContainerID, a.IfName)
		}
		out = append(out, sgpp.Branch{
			Attachment: a, VLAN: b.VLAN, MAC: b.MAC, Addr: b.Addr, Gateway: vpcnet.Router(b.Subnet), HostVeth: veth, Mode: facts.EnforcingMode,
		})
	}
	return out
}
