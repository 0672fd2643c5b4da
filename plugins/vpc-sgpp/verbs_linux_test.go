package main

import (
	"net"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"github.com/vpcchain/vpcchain/pkg/nodefacts"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// fails runs the plugin and compares the error's code and words.
func (p *pod) fails(verb string, conf map[string]any, want uint, words ...string) {
	p.lab.t.Helper()
	out, err := p.run("vpc-sgpp", verb, conf)
	if err == nil || code(err) != want {
		p.lab.t.Errorf("%s: %q, %v; want code %d", verb, out, err, want)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			p.lab.t.Errorf("%s: %q does not say %q", verb, err, w)
		}
	}
}

// DEL needs no prevResult, no namespace, no host veth, no VLAN link, and can come
// twice; in both modes.
func TestVLANDelete(t *testing.T) {
	for _, mode := range []string{nodefacts.ModeStrict, nodefacts.ModeStandard} {
		for name, spoil := range map[string]func(p *pod, conf map[string]any){
			"all there":             func(*pod, map[string]any) {},
			"no prevResult":         func(_ *pod, conf map[string]any) { conf["prevResult"] = nil },
			"veth gone":             func(p *pod, _ map[string]any) { p.unwire() },
			"veth gone, no result":  func(p *pod, conf map[string]any) { p.unwire(); conf["prevResult"] = nil },
			"trunk gone":            func(p *pod, _ map[string]any) { p.lab.cutTrunk() },
			"trunk gone, no result": func(p *pod, conf map[string]any) { p.lab.cutTrunk(); conf["prevResult"] = nil },
			"trunk and veth gone":   func(p *pod, _ map[string]any) { p.lab.cutTrunk(); p.unwire() },
			"network renamed":       func(_ *pod, conf map[string]any) { conf["name"] = "other" },
			"facts broken":          func(p *pod, _ map[string]any) { must(p.lab.t, os.WriteFile(p.lab.facts, []byte("{"), 0o600)) },
			"facts of another mode": func(_ *pod, conf map[string]any) {
				conf["enforcingMode"] = map[string]string{"strict": "standard", "standard": "strict"}[mode]
			},
			"malformed prevResult": func(p *pod, _ map[string]any) { p.prev.Interfaces[3].Name = "vlan.eth.x" },
			"record of sysctls a mess": func(p *pod, _ map[string]any) {
				record := strings.TrimSuffix(p.lab.facts, "node.json") + "sgpp.json"
				if _, err := os.Stat(record); err == nil {
					must(p.lab.t, os.WriteFile(record, []byte("[}"), 0o600))
				}
			},
		} {
			t.Run(mode+" "+name, func(t *testing.T) {
				l := newLab(t, mode)
				p := l.wired("web", 154)
				p.ok("vpc-sgpp", "ADD", nil)
				must(t, p.check(mode))
				conf := map[string]any{}
				spoil(p, conf)
				p.ok("vpc-sgpp", "DEL", conf)
				p.ok("vpc-sgpp", "DEL", conf)
				p.unwire()
				if _, err := l.node.nl.LinkByName("ens6"); err != nil {
					l.base = strings.Replace(l.base, "link ens6\n", "", 1)
				}
				l.emptied()
			})
		}
	}
}

// cutTrunk detaches the trunk ENI: the kernel removes the VLAN links with it.
func (l *lab) cutTrunk() {
	l.t.Helper()
	must(l.t, l.node.nl.LinkDel(l.node.link("ens6")))
}

// A sandbox that is made again gets the VLAN id of the old one, or the host veth's
// name, or both: the old one's late DEL touches nothing of the new.
func TestVLANLateDelete(t *testing.T) {
	for _, mode := range []string{nodefacts.ModeStrict, nodefacts.ModeStandard} {
		l := newLab(t, mode)
		old := l.wired("old", 30)
		old.ok("vpc-sgpp", "ADD", nil)
		is := l.wired("new", 30)
		is.ok("vpc-sgpp", "ADD", nil)
		must(t, is.check(mode))
		if up := l.node.link(old.hostVeth()).Attrs().Flags & net.FlagUp; up != 0 {
			t.Errorf("%s: the pod whose VLAN id was given away is still up", mode)
		}
		want := l.left()
		for _, conf := range []map[string]any{nil, {"prevResult": nil}, {"name": "renamed"}} {
			old.ok("vpc-sgpp", "DEL", conf)
			if diff := cmp.Diff(want, l.left()); diff != "" {
				t.Errorf("%s: the late DEL changed\n%s", mode, diff)
			}
		}
		must(t, is.check(mode))
		old.unwire()
		is.ok("vpc-sgpp", "DEL", nil)
		is.unwire()
		l.emptied()
	}
}

// The same pod, made again without a branch while its old sandbox's DEL is late:
// no rule of the old branch takes the new one's packets.
func TestVLANPodBecomesPlain(t *testing.T) {
	l := newLab(t, nodefacts.ModeStrict)
	l.router.listen(port)
	old := l.pod("web", 31).add("vpc-veth", "vpc-sgpp")
	sees(t, old.ns, vpcHost, port, old.addr)
	plain := &pod{lab: l, ns: newSpace(t), name: "web", addr: "10.20.11.50"}
	plain.prev = fromENI(plain.addr)
	l.node.sysctl("ipv4/conf/ens5/proxy_arp", "1") // its address is one of the node's ENI
	plain.container = "c-web-2"
	plain.add("vpc-veth", "vpc-sgpp")
	sees(t, plain.ns, vpcHost, port, plain.addr)
	late := old.prev
	for range 2 {
		old.prev = late
		old.ok("vpc-sgpp", "DEL", nil)
		old.ok("vpc-veth", "DEL", nil)
		late = nil
	}
	sees(t, plain.ns, vpcHost, port, plain.addr)
	plain.del()
	l.emptied()
}

// The mode of the node changes, and back: old pods keep theirs until they are made
// again, new ones have the new one, nothing is left of either.
func TestVLANModeChange(t *testing.T) {
	l := newLab(t, nodefacts.ModeStrict)
	strict := l.wired("strict", 41)
	strict.ok("vpc-sgpp", "ADD", nil)
	standard := l.wired("standard", 42)
	standard.ok("vpc-sgpp", "ADD", map[string]any{"enforcingMode": nodefacts.ModeStandard})
	for _, nodeMode := range []string{nodefacts.ModeStandard, nodefacts.ModeStrict} {
		must(t, strict.check(nodeMode))
		must(t, standard.check(nodeMode))
	}
	if got := l.node.sysctlIs("ipv4/tcp_early_demux"); got != "0" {
		t.Errorf("tcp_early_demux %s beside a strict pod", got)
	}
	strict.ok("vpc-sgpp", "DEL", map[string]any{"enforcingMode": nodefacts.ModeStandard})
	strict.unwire()
	if got := l.node.sysctlIs("ipv4/tcp_early_demux"); got != "1" {
		t.Errorf("tcp_early_demux %s after the last strict pod", got)
	}
	// The same VLAN id in the other mode, over what a killed DEL left.
	again := l.wired("again", 42)
	again.ok("vpc-sgpp", "ADD", map[string]any{"enforcingMode": nodefacts.ModeStrict})
	must(t, again.check(nodefacts.ModeStandard))
	again.ok("vpc-sgpp", "DEL", nil)
	standard.ok("vpc-sgpp", "DEL", nil)
	again.unwire()
	standard.unwire()
	l.emptied()
}

// What an ADD refuses, with the code, the reason and the pod's name, and with
// nothing changed.
func TestVLANRefuses(t *testing.T) {
	l := newLab(t, nodefacts.ModeStrict)
	p := l.wired("web", 50)
	before := l.left()
	p.fails("ADD", map[string]any{"trunkMAC": "02:ff:00:00:00:01"}, 11, "pod default/web", "02:ff:00:00:00:01", "attached")
	other := l.wired("other", 51)
	good := other.prev
	other.prev = p.prev
	other.fails("ADD", nil, 11, "host veth", "default/other")
	other.prev = good
	other.unwire()
	must(t, l.node.nl.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: vpcnet.BranchLink(50)}}))
	p.fails("ADD", nil, 5, "vlan.eth.50", "bridge")
	must(t, l.node.nl.LinkDel(l.node.link(vpcnet.BranchLink(50))))
	// An operator's VLAN link with the same id: the kernel refuses a second one.
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.ParentIndex = "ens6.50", l.node.link("ens6").Attrs().Index
	must(t, l.node.nl.LinkAdd(&netlink.Vlan{LinkAttrs: attrs, VlanId: 50}))
	p.fails("ADD", nil, 5, "vlan.eth.50", "exists")
	must(t, l.node.nl.LinkDel(l.node.link("ens6.50")))
	if diff := cmp.Diff(before, l.left()); diff != "" {
		t.Errorf("refused ADDs changed\n%s", diff)
	}
	// STATUS is about the trunk.
	status := map[string]any{"cniVersion": "1.1.0", "prevResult": nil}
	p.ok("vpc-sgpp", "STATUS", status)
	must(t, l.node.nl.LinkSetDown(l.node.link("ens6")))
	p.fails("STATUS", status, 51, "ens6", "down")
	// ADD brings the trunk up where nobody does.
	p.ok("vpc-sgpp", "ADD", nil)
	must(t, p.check(nodefacts.ModeStrict))
	p.ok("vpc-sgpp", "STATUS", status)
	l.cutTrunk()
	p.fails("STATUS", status, 51, trunkMAC)
	p.fails("CHECK", nil, 999, "vlan.eth.50", "missing", "pod default/web")
}

// 0.4.0 has no MTU in results, and all of it can be in the conflist: no facts.
func TestVLANOldVersionWithoutFacts(t *testing.T) {
	l := newLab(t, nodefacts.ModeStrict)
	must(t, os.Remove(l.facts))
	for _, version := range []string{"0.4.0", "1.1.0"} {
		p := l.wired("web", 60)
		prev, err := p.prev.GetAsVersion(version)
		must(t, err)
		conf := map[string]any{"cniVersion": version, "prevResult": prev, "trunkMAC": trunkMAC, "enforcingMode": "standard", "nodeIP": nodeIP}
		if out, err := p.run("vpc-sgpp", "ADD", conf); err != nil || !strings.Contains(string(out), `"cniVersion": "`+version+`"`) {
			t.Fatalf("%s: %s, %v", version, out, err)
		}
		must(t, p.check(nodefacts.ModeStandard))
		if mtu := l.node.link("vlan.eth.60").Attrs().MTU; mtu != 9001 {
			t.Errorf("MTU %d", mtu)
		}
		if out, err := p.run("vpc-sgpp", "DEL", conf); err != nil {
			t.Fatalf("%s: %s, %v", version, out, err)
		}
		p.unwire()
		l.emptied()
	}
}
