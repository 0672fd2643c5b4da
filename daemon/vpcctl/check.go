package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"

	"github.com/vpcchain/vpcchain/daemon/internal/check"
	"github.com/vpcchain/vpcchain/daemon/internal/install"
	"github.com/vpcchain/vpcchain/pkg/ipamapi"
	"github.com/vpcchain/vpcchain/pkg/nodefacts"
	"github.com/vpcchain/vpcchain/pkg/sgpp"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

func checkCommand() command {
	return command{
		name: "check", short: "the node against what is promised of it",
		flags: nodeFlags(flagSpec{name: "fix", help: "while vpc-ipamd answers, wait until it has repaired what differs; without it, repair"}),
		codes: []outcome{{exitError, "something differs, or an error"}},
		detail: `Every promise of docs/design.md, "Kernel objects", against the kernel, and what vpc-ipamd holds of EC2.
Differences are printed, one a line; without --fix nothing is changed, with it they are those that are left.
`,
		run: func(ctx context.Context, c call) (int, error) {
			conn, err := c.dial()
			if err != nil {
				return exitError, err
			}
			defer func() { _ = conn.Close() }()
			return doCheck(ctx, ipamapi.NewAdminClient(conn), c.text("state-dir"), c.on("fix"), c.out, c.on("json"))
		},
	}
}

func doCheck(ctx context.Context, c ipamapi.AdminClient, stateDir string, fix bool, out io.Writer, asJSON bool) (int, error) {
	facts, _ := nodefacts.Read(stateDir + "/node.json") // without them vpc-ipamd has not run, which the report says
	silent := false                                     // a daemon that is stopped would be waited for at every look
	held := func() *check.Held {
		if silent {
			return nil
		}
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		r, err := c.Pool(ctx, &ipamapi.PoolRequest{})
		if err != nil {
			silent = true
			return nil
		}
		return heldOf(viewOf(r), facts)
	}
	r, err := check.Node(stateDir, held)
	if err == nil && fix && len(r.Differences) > 0 {
		r, err = repair(ctx, stateDir, held)
	}
	if err != nil {
		return exitError, err
	}
	code := 0
	if len(r.Differences) > 0 {
		code = exitError
	}
	if asJSON {
		return code, printJSON(out, r)
	}
	for _, f := range r.Fixed {
		fmt.Fprintln(out, "fixed:", f)
	}
	for _, d := range r.Differences {
		fmt.Fprintln(out, d)
	}
	for _, n := range r.Notes {
		fmt.Fprintln(out, "note:", n)
	}
	if code == 0 {
		fmt.Fprintln(out, "all is as promised")
	}
	return code, nil
}

// repair has the daemon do it, or does it while the state file's lock keeps a
// daemon out.
func repair(ctx context.Context, stateDir string, held func() *check.Held) (check.Report, error) {
	if held() != nil {
		return check.Await(ctx, stateDir, held)
	}
	booked, err := check.Booked(stateDir) // before the file is locked
	if err != nil {
		return check.Report{}, err
	}
	_, release, err := install.StateFile{Dir: stateDir}.Take()
	if err != nil {
		return check.Report{}, fmt.Errorf("vpc-ipamd does not answer and cannot be kept out meanwhile; let it go on, or end it: %w", err)
	}
	fixed, err := check.Repair(ctx, stateDir, booked)
	if err = errors.Join(err, release()); err != nil {
		return check.Report{}, err
	}
	r, err := check.Node(stateDir, held)
	r.Fixed = fixed
	return r, err
}

// heldOf is the daemon's view in the form of package check.
func heldOf(v view, facts nodefacts.Facts) *check.Held {
	h := &check.Held{}
	for _, e := range v.ENIs {
		for _, a := range e.Addresses {
			addr, err := netip.ParseAddr(a.Address)
			if err != nil || a.State == "free" || a.State == "reserved" {
				continue
			}
			p := check.Pod{Addr: addr, Table: e.Table}
			if e.inPrefix(addr) || !e.Ready {
				p.Table = 0
			}
			if a.State == "used" && a.ContainerID != "" {
				p.HostVeth = vpcnet.HostVethName(facts.VethPrefix, a.Namespace, a.Pod, a.ContainerID, a.IfName)
			}
			h.Pods = append(h.Pods, p)
		}
	}
	for _, a := range v.Lost {
		h.Lost = append(h.Lost, a.Address+" of "+a.Network+"/"+a.ContainerID+"/"+a.IfName+": "+a.Note)
	}
	h.Branches = v.Trunk.held(facts)
	return h
}

func (e eniView) inPrefix(a netip.Addr) bool {
	for _, p := range e.Prefixes {
		if prefix, err := netip.ParsePrefix(p.Prefix); err == nil && prefix.Contains(a) {
			return true
		}
	}
	return false
}

// held are the branches that pods use.
func (v *trunkView) held(facts nodefacts.Facts) []sgpp.Branch {
	if v == nil {
		return nil
	}
	var out []sgpp.Branch
	for _, b := range v.Branches {
		addr, err := netip.ParseAddr(b.Address)
		subnet, serr := netip.ParsePrefix(b.Subnet)
		if b.State != "in use" || err != nil || serr != nil {
			continue
		}
		out = append(out, sgpp.Branch{
			Attachment: vpcnet.Attachment{Network: b.Network, ContainerID: b.ContainerID, IfName: b.IfName}, VLAN: b.VLAN, MAC: b.MAC, Addr: addr,
			Gateway: vpcnet.Router(subnet), HostVeth: vpcnet.HostVethName(facts.VethPrefix, b.Namespace, b.Pod, b.ContainerID, b.IfName),
			Mode: facts.EnforcingMode,
		})
	}
	return out
}
