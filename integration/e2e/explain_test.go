package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/integration/lab"
)

// explained is what is compared of `vpcctl explain --json`.
type explained struct {
	Src     netip.Addr
	Dst     netip.Addr
	Port    uint16
	Verdict struct {
		Outcome, Link, Why string
		Source             netip.Addr
		SNAT, Astray       bool
	}
}

// explainRig is a node with pods, and captures on all of its links.
type explainRig struct {
	l        *lab.Lab
	sources  map[netip.Addr]lab.End
	veths    map[string]netip.Addr // of the pods that are asked about
	macs     map[string]string     // of the ENIs' links
	dests    []netip.Addr
	outside  map[netip.Addr]bool   // sources that are not on the node: they ask for what is
	inside   []netip.Addr          // the node's own and its pods'
	home     map[netip.Addr]string // of a pod: the link of the ENI that has its address
	whole    bool                  // nothing is damaged: answers go the way that is promised
	came     int                   // connections from outside that a pod saw
	rnd      *rand.Rand
	nextPort uint16
}

const (
	explainSeed  = 7
	explainCases = 30
)

// ask explains random connections, opens them, and compares. It returns how many
// were seen to leave with another source, and how many were dropped.
func (r *explainRig) ask(t *testing.T, name string) (snat, dropped int) {
	t.Helper()
	ctx := t.Context()
	addrs := make([]netip.Addr, 0, len(r.sources))
	for a := range r.sources {
		addrs = append(addrs, a)
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	var questions strings.Builder
	dials := map[netip.Addr]string{}
	for range explainCases {
		src := addrs[r.rnd.IntN(len(addrs))]
		dests := r.dests
		if r.outside[src] {
			dests = r.inside
		}
		dst := dests[r.rnd.IntN(len(dests))]
		for src == dst {
			dst = dests[r.rnd.IntN(len(dests))]
		}
		r.nextPort++
		fmt.Fprintf(&questions, "%s explain --json %s %s %d || [ $? = 5 ] || exit 1\n", r.l.Bin("vpcctl"), src, dst, r.nextPort)
		dials[src] += fmt.Sprintf("timeout 0.7 bash -c ': </dev/tcp/%s/%d' 2>/dev/null &\n", dst, r.nextPort)
	}
	captures := map[string]*lab.Capture{}
	links := []string{"eth0", "eth1"}
	for v := range r.veths {
		links = append(links, v)
	}
	for _, link := range links {
		c, err := r.l.Capture(ctx, "node-a", link, "tcp")
		if err != nil {
			t.Fatal(err)
		}
		captures[link] = c
	}
	dialled := make(chan error)
	for src, script := range dials {
		end, args := r.sources[src], []string{"sh", "-c", script + "wait"}
		if end.Netns != "" {
			args = append([]string{"nsenter", "--net=" + end.Netns, "--"}, args...)
		}
		go func() {
			_, err := r.l.Exec(ctx, end.Host, args...)
			dialled <- err
		}()
	}
	out, err := r.l.Exec(ctx, "node-a", "sh", "-c", questions.String())
	for range dials {
		err = errors.Join(err, <-dialled)
	}
	if err != nil {
		t.Fatal(err)
	}
	seen, answers := r.seen(t, captures)
	for d := json.NewDecoder(strings.NewReader(out)); d.More(); {
		var e explained
		if err := d.Decode(&e); err != nil {
			t.Fatal(err)
		}
		want := ""
		if e.Verdict.Outcome == "leaves" || e.Verdict.Outcome == "to pod" {
			want = e.Verdict.Link + " from " + e.Verdict.Source.String()
		}
		got := seen[e.Port]
		if e.Verdict.Astray && got == "" {
			continue // nobody answered ARP for an address of the ENI that asked
		}
		if got != want {
			t.Errorf("%s: %s to %s port %d: explained %q (%s: %s), captured %q", name, e.Src, e.Dst, e.Port, want, e.Verdict.Outcome, e.Verdict.Why, got)
		}
		if home := r.home[e.Dst]; r.outside[e.Src] && home != "" && got != "" {
			r.came++
			if back := home + " from " + e.Dst.String(); r.whole && answers[e.Port] != back {
				t.Errorf("%s: the answer of %s to %s port %d was captured as %q, want %q", name, e.Dst, e.Src, e.Port, answers[e.Port], back)
			}
		}
		if e.Verdict.SNAT {
			snat++
		}
		if e.Verdict.Outcome == "dropped" {
			dropped++
		}
	}
	return snat, dropped
}

// seen is, by destination port, the link that the connection's packets left the
// node's routing by, with their source; answers are those that an ENI carried.
func (r *explainRig) seen(t *testing.T, captures map[string]*lab.Capture) (out, answers map[uint16]string) {
	t.Helper()
	out, answers = map[uint16]string{}, map[uint16]string{}
	for link, c := range captures {
		packets, err := c.Stop()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range packets {
			if back := p.Source.Port(); back >= 20000 && back <= r.nextPort && r.macs[link] == p.SrcMAC {
				answers[back] = link + " from " + p.Source.Addr().String()
			}
			if p.Dest.Port() < 20000 || p.Dest.Port() > r.nextPort {
				continue
			}
			// On a pod's veth are its own packets too, on their way in.
			if pod, ok := r.veths[link]; ok && pod != p.Dest.Addr() {
				continue
			}
			if mac, ok := r.macs[link]; ok && mac != p.SrcMAC {
				continue // it comes in
			}
			what := link + " from " + p.Source.Addr().String()
			if before, ok := out[p.Dest.Port()]; ok && before != what {
				t.Errorf("port %d was seen on %s and on %s", p.Dest.Port(), before, what)
			}
			out[p.Dest.Port()] = what
		}
	}
	return out, answers
}

// What vpcctl explain says of random connections, from pods, from the node, and to
// both from on premises and from elsewhere in the VPC, is what captures on all links
// show, with every kind of settings, and on a node that was damaged and whose
// daemon is dead.
func TestExplainAgainstPackets(t *testing.T) {
	l := up(t, "nat.yaml")
	ctx := t.Context()
	d := daemon(t, l, "node-a")
	conflist(t, l, "node-a", chain)
	pods := twoPods(t, l, "vpc")
	r := &explainRig{l: l, sources: map[netip.Addr]lab.End{}, veths: map[string]netip.Addr{}, macs: map[string]string{}, rnd: rand.New(rand.NewPCG(explainSeed, 0)), nextPort: 20000}
	r.outside, r.home, r.inside = map[netip.Addr]bool{}, map[netip.Addr]string{}, []netip.Addr{netip.MustParseAddr(nodeAddr)}
	for name, a := range map[string]string{"endpoint": "10.20.13.10", "second": "100.64.70.10", "partner": "192.168.50.5", "onprem": "172.31.7.10"} {
		r.sources[netip.MustParseAddr(a)], r.outside[netip.MustParseAddr(a)] = lab.HostEnd(name), true
	}
	for _, a := range []string{"10.20.13.10", "100.64.70.10", "192.168.50.5", "172.31.7.10", "52.78.83.169", nodeAddr} {
		r.dests = append(r.dests, netip.MustParseAddr(a))
	}
	for _, link := range []string{"eth0", "eth1"} {
		p := pods[link]
		r.sources[p.Addr], r.veths[p.HostEnd] = lab.PodEnd(p), p.Addr
		r.dests, r.inside, r.home[p.Addr] = append(r.dests, p.Addr), append(r.inside, p.Addr), link
		mac, err := l.Exec(ctx, "node-a", "cat", "/sys/class/net/"+link+"/address")
		if err != nil {
			t.Fatal(err)
		}
		r.macs[link] = strings.TrimSpace(mac)
	}
	r.sources[netip.MustParseAddr(nodeAddr)] = lab.HostEnd("node-a")
	settings := []struct {
		name string
		env  []string
		snat bool
	}{
		{"as it comes", nil, true},
		{"external", []string{"AWS_VPC_K8S_CNI_EXTERNALSNAT=true"}, false},
		{"nftables, excluded", []string{"VPC_SNAT_BACKEND=nftables", "AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS=192.168.0.0/16"}, true},
		{"flat, excluded", []string{"VPC_SNAT_CHAIN_STYLE=flat", "AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS=172.31.0.0/16"}, true},
	}
	r.whole = true
	for i, s := range settings {
		if i > 0 {
			_ = d.Stop(syscall.SIGTERM)
			d = daemon(t, l, "node-a", s.env...)
			asPromised(t, l)
		}
		if snat, dropped := r.ask(t, s.name); (snat > 0) != s.snat || dropped > 0 {
			t.Errorf("%s: of %d connections %d had their source rewritten and %d were dropped", s.name, explainCases, snat, dropped)
		}
	}
	if r.came < len(settings) {
		t.Errorf("%d connections from outside came to a pod", r.came)
	}
	r.whole = false
	_ = d.Stop(syscall.SIGKILL)
	for _, damage := range []struct {
		name, how string
		drops     bool
	}{
		{"no SNAT", "iptables -t nat -F AWS-SNAT-CHAIN-0", false},
		{"no mark's rule", "ip rule del priority 1024", false},
		{"no rule 1536", "while ip rule del priority 1536; do :; done 2>/dev/null; true", true}, // the way back of what comes in by eth1 is eth0 then
		{"strict rp_filter", "for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 1 >$f; done", true},
		{"no pod rule", "ip rule del priority 512", true},
		{"no forwarding", "echo 0 >/proc/sys/net/ipv4/ip_forward", true},
	} {
		if _, err := l.Exec(ctx, "node-a", "sh", "-c", damage.how); err != nil {
			t.Fatal(err)
		}
		if _, dropped := r.ask(t, damage.name); (dropped > 0) != damage.drops {
			t.Errorf("%s: %d connections were dropped", damage.name, dropped)
		}
	}
}

// asPromised waits until vpcctl check finds nothing on node-a.
func asPromised(t *testing.T, l *lab.Lab) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	err := lab.Poll(ctx, func() error {
		_, err := l.Exec(ctx, "node-a", l.Bin("vpcctl"), "check")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
