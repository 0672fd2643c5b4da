package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vpcchain/vpcchain/integration/vm"
	"github.com/vpcchain/vpcchain/pkg/nodefacts"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// lab is a node with a primary link and a trunk, and a router that has the other
// ends of both: real 802.1Q, with one link per branch.
type lab struct {
	t            testing.TB
	node, router *space
	facts        string
	base         string // what the node had at first
}

func newLab(t *testing.T, mode string) *lab {
	t.Helper()
	vm.RequireVLAN(t)
	l := &lab{t: t, node: newSpace(t), router: newSpace(t), facts: filepath.Join(t.TempDir(), "node.json")}
	veth(t, l.node, l.router, "ens5", "p1", "", 9001)
	veth(t, l.node, l.router, "ens6", "t1", trunkMAC, 9001)
	l.node.addr("ens5", nodeIP+"/24")
	l.node.route("0.0.0.0/0", router, "ens5")
	l.router.addr("p1", router+"/24")
	l.router.addr("lo", vpcHost+"/32")
	l.router.addr("lo", internet+"/32")
	for _, s := range []*space{l.node, l.router} {
		s.sysctl("ipv4/ip_forward", "1")
	}
	l.node.sysctl("ipv4/conf/ens5/rp_filter", "2") // as the daemon sets it
	must(t, nodefacts.Write(l.facts, nodefacts.Facts{
		PrimaryIP: netip.MustParseAddr(nodeIP), PrimaryLink: "ens5", PrimaryMTU: 9001, VethPrefix: "eni",
		VPCCIDRs: []netip.Prefix{netip.MustParsePrefix("10.20.0.0/16")}, SNAT: map[string]string{"backend": "nftables"},
		Trunk: &nodefacts.Trunk{ENI: "eni-0trunk", MAC: trunkMAC}, EnforcingMode: mode,
	}))
	l.base = l.left()
	return l
}

// pod is one pod with a branch ENI.
type pod struct {
	lab  *lab
	ns   *space
	name string
	vlan int
	addr string
	prev *types100.Result // of vpc-ipam, then of the chain

	container string // its id; empty: by the name
}

func branchMAC(vlan int) string { return fmt.Sprintf("02:00:00:01:%02x:%02x", vlan>>8, vlan&255) }

// pod announces a branch and makes the VPC's end of it. The VPC's router answers
// ARP itself and asks no pod.
func (l *lab) pod(name string, vlan int) *pod {
	l.t.Helper()
	p := &pod{lab: l, ns: newSpace(l.t), name: name, vlan: vlan, addr: fmt.Sprintf("10.20.64.%d", 10+vlan%200)}
	link := fmt.Sprint("t1.", vlan)
	if _, err := l.router.nl.LinkByName(link); err != nil {
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.ParentIndex = link, l.router.link("t1").Attrs().Index
		must(l.t, l.router.nl.LinkAdd(&netlink.Vlan{LinkAttrs: attrs, VlanId: vlan, VlanProtocol: netlink.VLAN_PROTOCOL_8021Q}))
		l.router.addr(link, branchGW+"/32")
		l.router.up(link)
	}
	l.router.route(p.addr+"/32", "", link)
	hw, err := net.ParseMAC(branchMAC(vlan))
	must(l.t, err)
	must(l.t, l.router.nl.NeighSet(&netlink.Neigh{
		LinkIndex: l.router.link(link).Attrs().Index, State: netlink.NUD_PERMANENT, IP: net.ParseIP(p.addr), HardwareAddr: hw,
	}))
	p.prev = &types100.Result{
		CNIVersion: "1.0.0",
		Interfaces: []*types100.Interface{{Name: "eni-0trunk", Mac: trunkMAC, Mtu: 9001}, {Name: vpcnet.BranchLink(vlan), Mac: branchMAC(vlan), Mtu: 9001}},
		IPs:        []*types100.IPConfig{{Interface: new(1), Address: *ipNet(p.addr + "/32"), Gateway: net.ParseIP(branchGW)}},
	}
	return p
}

func (p *pod) id() string { return cmp.Or(p.container, "c-"+p.name) }

// fromENI is what vpc-ipam gives a pod without a branch.
func fromENI(addr string) *types100.Result {
	return &types100.Result{
		CNIVersion: "1.0.0", Interfaces: []*types100.Interface{{Name: "eni-0first", Mac: "02:00:00:00:00:01", Mtu: 9001}},
		IPs: []*types100.IPConfig{{Interface: new(0), Address: *ipNet(addr + "/32"), Gateway: net.ParseIP(router)}},
	}
}

func (p *pod) hostVeth() string { return vpcnet.HostVethName("eni", "default", p.name, p.id(), "eth0") }

// command prepares a plugin in the node's namespace.
func (p *pod) command(plugin, verb string, conf map[string]any) *exec.Cmd {
	p.lab.t.Helper()
	bin, err := filepath.Abs(filepath.Join("../../bin", plugin))
	must(p.lab.t, err)
	all := map[string]any{"cniVersion": "1.0.0", "name": "vpc", "type": plugin, "nodeFacts": p.lab.facts}
	if p.prev != nil {
		all["prevResult"] = p.prev
	}
	for k, v := range conf {
		all[k] = v
		if v == nil {
			delete(all, k)
		}
	}
	raw, err := json.Marshal(all)
	must(p.lab.t, err)
	cmd := exec.Command(bin)
	cmd.Stdin = bytes.NewReader(raw)
	cmd.Env = []string{
		"CNI_COMMAND=" + verb, "CNI_CONTAINERID=" + p.id(), "CNI_IFNAME=eth0", "CNI_NETNS=" + p.ns.path(), "CNI_PATH=" + filepath.Dir(bin),
		"CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=" + p.name, "PATH=" + os.Getenv("PATH"),
	}
	return cmd
}

// run executes a plugin; the error is the plugin's own.
func (p *pod) run(plugin, verb string, conf map[string]any) ([]byte, error) {
	p.lab.t.Helper()
	cmd := p.command(plugin, verb, conf)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := p.lab.node.do(cmd.Run)
	if err == nil {
		return out.Bytes(), nil
	}
	var cniErr types.Error
	if jerr := json.Unmarshal(out.Bytes(), &cniErr); jerr != nil {
		return nil, fmt.Errorf("%w: %s", err, &out)
	}
	return nil, &cniErr
}

func (p *pod) ok(plugin, verb string, conf map[string]any) {
	p.lab.t.Helper()
	out, err := p.run(plugin, verb, conf)
	if err != nil {
		p.lab.t.Fatalf("%s %s of %s: %v", plugin, verb, p.name, err)
	}
	if verb == "ADD" {
		p.prev = new(types100.Result)
		must(p.lab.t, json.Unmarshal(out, p.prev))
	}
}

// add runs the chain.
func (p *pod) add(plugins ...string) *pod {
	p.lab.t.Helper()
	for _, plugin := range plugins {
		p.ok(plugin, "ADD", nil)
	}
	return p
}

func (p *pod) del() {
	p.lab.t.Helper()
	p.ok("vpc-sgpp", "DEL", nil)
	p.ok("vpc-veth", "DEL", nil)
}

// left is all of the node's state that a branch may leave behind.
func (l *lab) left() string {
	l.t.Helper()
	var out []string
	links, err := l.node.nl.LinkList()
	must(l.t, err)
	names := map[int]string{}
	for _, k := range links {
		names[k.Attrs().Index] = k.Attrs().Name
		out = append(out, "link "+k.Attrs().Name)
	}
	rules, err := l.node.nl.RuleList(netlink.FAMILY_V4)
	must(l.t, err)
	for _, r := range rules {
		if r.Priority != vpcnet.RulePods { // of all pods: it stays
			out = append(out, fmt.Sprintf("rule %d iif %s from %v table %d proto %d", r.Priority, r.IifName, r.Src, r.Table, r.Protocol))
		}
	}
	routes, err := l.node.nl.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	must(l.t, err)
	for _, r := range routes {
		if r.Table != unix.RT_TABLE_LOCAL {
			out = append(out, fmt.Sprintf("route %v via %v dev %s table %d", r.Dst, r.Gw, names[r.LinkIndex], r.Table))
		}
	}
	for _, s := range []string{"tcp_early_demux", "udp_early_demux"} {
		out = append(out, s+" "+l.node.sysctlIs("ipv4/"+s))
	}
	files, err := filepath.Glob(filepath.Join(filepath.Dir(l.facts), "sgpp.json*"))
	must(l.t, err)
	out = append(out, files...)
	slices.Sort(out)
	return strings.Join(out, "\n")
}

// listen serves TCP in the namespace: each connection is answered with the
// address that it came from.
func (s *space) listen(port int) {
	s.t.Helper()
	must(s.t, s.do(func() error {
		ln, err := net.Listen("tcp4", fmt.Sprint(":", port))
		if err != nil {
			return err
		}
		s.t.Cleanup(func() { _ = ln.Close() })
		go func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				host, _, _ := net.SplitHostPort(c.RemoteAddr().String())
				_, _ = io.WriteString(c, host)
				_ = c.Close()
			}
		}()
		return nil
	}))
}

// seen is the source address that a server sees of a connection from s.
func (s *space) seen(to string, port int) (string, error) {
	var got []byte
	err := s.do(func() error {
		c, err := net.DialTimeout("tcp4", net.JoinHostPort(to, fmt.Sprint(port)), 3*time.Second)
		if err != nil {
			return err
		}
		defer func() { _ = c.Close() }()
		_ = c.SetDeadline(time.Now().Add(3 * time.Second))
		got, err = io.ReadAll(c)
		return err
	})
	return string(got), err
}

// tagged counts what the router received with the VLAN id.
func (l *lab) tagged(vlan int) uint64 {
	l.t.Helper()
	return l.router.link(fmt.Sprint("t1.", vlan)).Attrs().Statistics.RxPackets
}

func code(err error) uint {
	if cniErr, ok := errors.AsType[*types.Error](err); ok {
		return cniErr.Code
	}
	return 0
}
