package main

import (
	"context"
	"errors"
	"io/fs"
	"net/netip"
	"path/filepath"

	"github.com/vpcchain/vpcchain/daemon/internal/branch"
	"github.com/vpcchain/vpcchain/daemon/internal/hostnet"
	"github.com/vpcchain/vpcchain/daemon/internal/pool"
	"github.com/vpcchain/vpcchain/daemon/internal/state"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// kernelPods are the pods that the kernel shows: a host veth with an attachment as
// its alias is one. The state file tells their names while no daemon has it open,
// and the daemon's last word which ENI has which address.
func kernelPods(ctx context.Context, stateDir string) (podsView, error) {
	h, err := hostnet.New(hostnet.Options{})
	if err != nil {
		return podsView{}, err
	}
	defer h.Close()
	links, err := h.Attachments(ctx)
	if err != nil {
		return podsView{}, err
	}
	traces, err := h.Witnesses(ctx)
	if err != nil {
		return podsView{}, err
	}
	held, branches, err := state.Peek(filepath.Join(stateDir, "ipamd.db"))
	v := podsView{Source: "kernel", Books: err == nil}
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, state.ErrInUse):
	case err != nil:
		v.Notes = append(v.Notes, err.Error())
	}
	wanted, err := hostnet.Wanted(stateDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		v.Notes = append(v.Notes, err.Error())
	}
	v.Pods = kernelPodsOf(links, traces, wanted)
	v.name(held, branches)
	v.sort()
	return v, nil
}

// kernelPodsOf puts together what the kernel says of each attachment.
func kernelPodsOf(links []hostnet.Found, traces []hostnet.Witness, wanted hostnet.Desired) []podView {
	vlans := map[vpcnet.Attachment]int{}
	for _, l := range links {
		if vlan, ok := vpcnet.ParseBranchLink(l.HostVeth); ok {
			vlans[l.Attachment] = vlan
		}
	}
	addrs := map[string]netip.Addr{}
	for _, w := range traces {
		if w.Link != "" && w.Addr.IsValid() {
			addrs[w.Link] = w.Addr
		}
	}
	out := []podView{}
	for _, l := range links {
		if _, branch := vpcnet.ParseBranchLink(l.HostVeth); branch {
			continue
		}
		a := l.Attachment
		p := podView{Network: a.Network, ContainerID: a.ContainerID, IfName: a.IfName, Link: l.HostVeth, VLAN: vlans[a]}
		if addr := addrs[l.HostVeth]; addr.IsValid() {
			p.Address = addr.String()
			if p.VLAN == 0 {
				p.ENI = eniOf(addr, wanted)
			}
		}
		out = append(out, p)
	}
	return out
}

// eniOf is the ENI whose table the address's rule leads to; one without a rule is
// of the primary ENI.
func eniOf(addr netip.Addr, wanted hostnet.Desired) string {
	table := vpcnet.TableMain
	for _, f := range wanted.From {
		if f.Prefix.Contains(addr) {
			table = f.Table
		}
	}
	for _, e := range wanted.ENIs {
		if vpcnet.ENITable(e.Card, e.Device) == table || e.IsPrimary() && table == vpcnet.TableMain {
			return e.ID
		}
	}
	return ""
}

// name adds what the books say of the attachments that the kernel has.
func (v podsView) name(held []pool.Allocation, branches []branch.Branch) {
	of := map[vpcnet.Attachment]pool.Allocation{}
	for _, h := range held {
		of[h.Attachment] = h
	}
	for _, b := range branches {
		if b.Holder != nil {
			of[b.Holder.Attachment] = b.Allocation()
		}
	}
	for i := range v.Pods {
		p := &v.Pods[i]
		h, ok := of[vpcnet.Attachment{Network: p.Network, ContainerID: p.ContainerID, IfName: p.IfName}]
		if !ok {
			continue
		}
		p.Namespace, p.Pod, p.ENI = h.Pod.Namespace, h.Pod.Name, h.ENI
		if at := h.Since.UTC(); !at.IsZero() {
			p.Since = &at
		}
		if p.Address != "" && p.Address != h.Addr.String() {
			p.Note = "the state file has " + h.Addr.String()
		}
	}
}
