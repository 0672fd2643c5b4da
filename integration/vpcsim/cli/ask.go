package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/vpcchain/vpcchain/integration/vpcsim/capture"
	"github.com/vpcchain/vpcchain/integration/vpcsim/ec2"
	"github.com/vpcchain/vpcchain/integration/vpcsim/fabric"
	"github.com/vpcchain/vpcchain/integration/vpcsim/netns"
	"github.com/vpcchain/vpcchain/integration/vpcsim/network"
	"github.com/vpcchain/vpcchain/integration/vpcsim/server"
	"github.com/vpcchain/vpcchain/integration/vpcsim/topology"
)

func (a *app) topology(args []string) error {
	if err := a.none(args); err != nil {
		return err
	}
	var topo topology.Topology
	var now network.VPC
	if err := server.Call(a.ctx, a.dir(), "GET", "/topology", nil, &topo); err != nil {
		return err
	}
	if err := server.Call(a.ctx, a.dir(), "GET", "/network", nil, &now); err != nil {
		return err
	}
	var problems []string
	if err := server.Call(a.ctx, a.dir(), "GET", "/problems", nil, &problems); err != nil {
		return err
	}
	v := struct {
		Topology topology.Topology `json:"topology"`
		Network  network.VPC       `json:"network"`
		Problems []string          `json:"problems"`
	}{topo, now, problems}
	return a.print(v, func(w io.Writer) {
		fmt.Fprint(w, topo)
		for _, p := range now.Ports {
			fmt.Fprintln(w, portLine(p))
		}
		for _, text := range problems {
			fmt.Fprintln(w, "  PROBLEM ", text)
		}
	})
}

func (a *app) enis(args []string) error {
	if err := a.none(args); err != nil {
		return err
	}
	var enis []ec2.Interface
	if err := server.Call(a.ctx, a.dir(), "GET", "/enis", nil, &enis); err != nil {
		return err
	}
	return a.print(enis, func(w io.Writer) {
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(t, "ENI\tTYPE\tHOST\tDEVICE\tVLAN\tPRIMARY\tADDRESSES\tPREFIXES")
		for _, i := range enis {
			host, device, vlan := i.Host, strconv.Itoa(i.Device), "-"
			if host == "" {
				host, device = "-", "-"
			}
			if i.VLAN != 0 {
				vlan = strconv.Itoa(i.VLAN)
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%d\t%d\n", i.ID, i.Kind, host, device, vlan, i.Primary, len(i.Addresses), len(i.Prefixes))
		}
		_ = t.Flush()
	})
}

func (a *app) calls(args []string) error {
	reset := a.fs.Bool("reset", false, "")
	if err := a.none(args); err != nil {
		return err
	}
	var calls []ec2.Call
	if err := server.Call(a.ctx, a.dir(), "GET", "/calls", nil, &calls); err != nil {
		return err
	}
	if *reset {
		if err := server.Call(a.ctx, a.dir(), "DELETE", "/calls", nil, nil); err != nil {
			return err
		}
	}
	return a.print(calls, func(w io.Writer) {
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(t, "ACTION\tOUTCOME\tCALLS")
		for _, c := range calls {
			fmt.Fprintf(t, "%s\t%s\t%d\n", c.Action, c.Outcome, c.Count)
		}
		_ = t.Flush()
	})
}

func (a *app) drops(args []string) error {
	reset := a.fs.Bool("reset", false, "")
	if err := a.none(args); err != nil {
		return err
	}
	var drops []fabric.Refused
	if err := server.Call(a.ctx, a.dir(), "GET", "/drops", nil, &drops); err != nil {
		return err
	}
	if *reset {
		if err := server.Call(a.ctx, a.dir(), "DELETE", "/drops", nil, nil); err != nil {
			return err
		}
	}
	return a.print(drops, func(w io.Writer) {
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(t, "LAST\tHOST\tENI\tPROTOCOL\tSOURCE\tDESTINATION\tPACKETS\tREASON")
		for _, d := range drops {
			dest := d.Dest.String()
			if d.Port != 0 {
				dest = netip.AddrPortFrom(d.Dest, uint16(d.Port)).String()
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\n", d.Last.Format(time.TimeOnly), d.Host, d.ENI, d.Protocol, d.Source, dest, d.Packets, d.Reason)
		}
		_ = t.Flush()
	})
}

func (a *app) cidrs(args []string) error {
	pos, err := a.parse(args)
	if err != nil {
		return err
	}
	var cidrs []netip.Prefix
	for _, text := range pos {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return err
		}
		cidrs = append(cidrs, p.Masked())
	}
	return server.Call(a.ctx, a.dir(), "PUT", "/cidrs", cidrs, nil)
}

func (a *app) capture(args []string) error {
	count := a.fs.Int("c", 0, "")
	limit := a.fs.Duration("for", time.Hour, "")
	pos, err := a.parse(args)
	if err != nil {
		return err
	}
	if len(pos) < 2 {
		return fmt.Errorf("usage: vpcsim capture [-c PACKETS] [--for DURATION] HOST LINK [FILTER]")
	}
	filter, err := capture.ParseFilter(strings.Join(pos[2:], " "))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(a.ctx, *limit)
	defer cancel()
	table, lines, n := capture.NewTable(a.out), json.NewEncoder(a.out), 0
	return netns.Do(a.dir().Net(pos[0]), func() error {
		return capture.Run(ctx, pos[1], filter, func() { fmt.Fprintln(a.err, "listening on", pos[1]) }, func(p capture.Packet) bool {
			if n++; a.json {
				_ = lines.Encode(p)
			} else {
				table.Add(p)
			}
			return n != *count
		})
	})
}
