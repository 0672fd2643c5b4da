package fabric_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"

	"github.com/vpcchain/vpcchain/integration/vpcsim/capture"
	"github.com/vpcchain/vpcchain/integration/vpcsim/netns"
)

// frame is what a capture shows of a packet on the trunk's link.
type frame struct {
	VLAN   int
	Sender string // MAC; empty: the VPC's
	Source netip.Addr
	Dest   netip.Addr
}

// frames starts a capture of UDP and returns a function that waits for n of them.
func (v *vpc) frames(host, link string) func(n int) []frame {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.t.Context(), limit)
	got, ready, ended := make(chan frame, 100), make(chan struct{}), make(chan error, 1)
	v.t.Cleanup(func() {
		cancel()
		must(v.t, <-ended)
	})
	filter, err := capture.ParseFilter("udp")
	must(v.t, err)
	go func() {
		ended <- netns.Do(v.dir.Net(host), func() error {
			return capture.Run(ctx, link, filter, func() { close(ready) }, func(p capture.Packet) bool {
				f := frame{VLAN: p.VLAN, Source: p.Source.Addr(), Dest: p.Dest.Addr()}
				if strings.HasPrefix(p.SrcMAC, "0a:00:00:00:") {
					f.Sender = p.SrcMAC
				}
				got <- f
				return true
			})
		})
	}()
	<-ready
	return func(n int) (out []frame) {
		v.t.Helper()
		for len(out) < n {
			select {
			case f := <-got:
				out = append(out, f)
			case <-ctx.Done():
				v.t.Fatalf("%d frames on %s, want %d: %+v", len(out), link, n, out)
			}
		}
		return out
	}
}

// router is what the router has of ports: links, rules, routes, neighbours, chains.
func (v *vpc) router() (lines []string) {
	v.t.Helper()
	for _, argv := range [][]string{
		{"ip", "-o", "link"},
		{"ip", "rule"},
		{"ip", "route", "show", "table", "all"},
		{"ip", "neigh", "show", "nud", "permanent"},
		{"nft", "list", "chains"},
		{"nft", "list", "map", "ip", "vpc", "egress"},
	} {
		must(v.t, netns.Do(v.dir.Router(), func() error {
			out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
			if err != nil {
				return errors.Join(err, errors.New(string(out)))
			}
			text := strings.Split(string(out), "\n")
			slices.Sort(text)
			lines = append(lines, text...)
			return nil
		}))
	}
	return lines
}

// neighbour is the MAC that the pod knows of its router.
func (v *vpc) neighbour(pod string, a netip.Addr) (mac net.HardwareAddr) {
	v.t.Helper()
	v.in(pod, func() error {
		all, err := netlink.NeighList(0, netlink.FAMILY_V4)
		for _, n := range all {
			if n.IP.String() == a.String() {
				mac = n.HardwareAddr
			}
		}
		return err
	})
	return mac
}

func (v *vpc) mac(pod, text string) {
	v.t.Helper()
	mac, err := net.ParseMAC(text)
	must(v.t, err)
	v.in(pod, func() error {
		link, err := netlink.LinkByName(podVLAN)
		if err != nil {
			return err
		}
		return netlink.LinkSetHardwareAddr(link, mac)
	})
}
