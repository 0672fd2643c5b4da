package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/explain"
	"github.com/vpcchain/vpcchain/daemon/internal/hostnet"
	"github.com/vpcchain/vpcchain/pkg/ipamapi"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// patience is how long the daemon gets for an answer that these subcommands can
// do without.
const patience = 2 * time.Second

func explainCommand() command {
	return command{
		name: "explain", short: "the way of a packet: rules, routes, marks, SNAT, ENI, and what decided each", flags: nodeFlags(),
		operands: []operand{{name: "SRC"}, {name: "DST"}, {name: "PORT", optional: true}},
		codes:    []outcome{{exitDropped, "the packet is dropped on the node or by the ENI's source check"}},
		detail: `The first packet of a connection, from what the kernel has now. Nothing is sent or changed.
SRC and DST are IPv4 addresses, "node", or NAMESPACE/POD while vpc-ipamd answers.
`,
		run: func(ctx context.Context, c call) (int, error) {
			conn, err := c.dial()
			if err != nil {
				return exitError, err
			}
			defer func() { _ = conn.Close() }()
			return doExplain(ctx, ipamapi.NewAdminClient(conn), c.text("state-dir"), c.words, c.out, c.on("json"))
		},
	}
}

// doExplain answers from the kernel; what the daemon would add is named where it is missing.
func doExplain(ctx context.Context, c ipamapi.AdminClient, stateDir string, args []string, out io.Writer, asJSON bool) (int, error) {
	s, err := explain.Read(filepath.Join(stateDir, "node.json"))
	if err != nil {
		return exitError, err
	}
	asked, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r, err := c.Pool(asked, &ipamapi.PoolRequest{})
	if err == nil {
		s.ENIs, s.Branches = enisOf(viewOf(r))
	} else {
		s.Unread = append(s.Unread, "vpc-ipamd does not answer: ids of ENIs, their addresses and security groups are not known")
		if wanted, err := hostnet.Wanted(stateDir); err == nil {
			s.Homes = homesOf(wanted)
		}
	}
	q := explain.Question{}
	if q.Src, err = s.End(args[0]); err == nil {
		q.Dst, err = s.End(args[1])
	}
	if err == nil && len(args) == 3 {
		var port uint64
		port, err = strconv.ParseUint(args[2], 10, 16)
		q.Port = uint16(port)
	}
	if err != nil {
		return exitUsage, err
	}
	a := explain.Explain(s, q)
	code := 0
	if a.Verdict.Outcome == explain.Dropped || a.Verdict.Refused != "" {
		code = exitDropped
	}
	if asJSON {
		return code, printJSON(out, a)
	}
	_, err = fmt.Fprint(out, a)
	return code, err
}

// homesOf are the ENIs of addresses by the daemon's last word. What has no rule is
// of the primary ENI.
func homesOf(d hostnet.Desired) []explain.Home {
	var out []explain.Home
	for _, e := range d.ENIs {
		if e.Primary.IsValid() {
			out = append(out, explain.Home{Prefix: vpcnet.Host(e.Primary), MAC: e.MAC})
		}
		for _, f := range d.From {
			if f.Table == vpcnet.ENITable(e.Card, e.Device) {
				out = append(out, explain.Home{Prefix: f.Prefix, MAC: e.MAC})
			}
		}
	}
	return out
}

// enisOf is the daemon's view in the form of package explain. Addresses that
// cannot be parsed are left out: the daemon writes none.
func enisOf(v view) ([]explain.ENI, []explain.Branch) {
	var enis []explain.ENI
	for _, e := range v.ENIs {
		out := explain.ENI{ID: e.ID, MAC: e.MAC, Device: e.Device, Pods: map[netip.Addr]explain.Pod{}}
		if a, err := netip.ParseAddr(e.Primary); err == nil {
			out.Addresses = append(out.Addresses, a)
		}
		for _, slot := range e.Addresses {
			a, err := netip.ParseAddr(slot.Address)
			if err != nil {
				continue
			}
			out.Addresses = append(out.Addresses, a)
			if slot.ContainerID != "" {
				out.Pods[a] = podOf(slot.Network, slot.ContainerID, slot.IfName, slot.Namespace, slot.Pod)
			}
		}
		enis = append(enis, out)
	}
	var branches []explain.Branch
	if v.Trunk != nil {
		for _, b := range v.Trunk.Branches {
			a, _ := netip.ParseAddr(b.Address)
			branches = append(branches, explain.Branch{ID: b.ID, Link: vpcnet.BranchLink(b.VLAN), Groups: slices.Clone(b.Groups), Addr: a})
		}
	}
	return enis, branches
}

func podOf(network, container, ifname, namespace, name string) explain.Pod {
	p := explain.Pod{Attachment: vpcnet.Attachment{Network: network, ContainerID: container, IfName: ifname}}
	if name != "" {
		p.Name = namespace + "/" + name
	}
	return p
}
