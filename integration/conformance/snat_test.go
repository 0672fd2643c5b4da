package conformance

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/google/go-cmp/cmp"
)

// wired is what vpc-veth hands over.
func wired(t testing.TB, netns string) *types100.Result {
	r := fromIPAM(t, "10.20.11.7/32")
	r.Interfaces = append([]*types100.Interface{{Name: "eni0"}, {Name: "eth0", Sandbox: "/run/netns/" + netns}}, r.Interfaces...)
	r.IPs[0].Interface = new(1)
	return r
}

// snat is a call of vpc-snat on a node without a daemon.
func snat(t testing.TB, verb, version, netns string, conf map[string]any) call {
	all := map[string]any{"vpcCIDRs": []string{"10.20.0.0/16", "100.64.0.0/16"}, "nodeIP": "10.20.11.162", "primaryLink": "up0"}
	maps.Copy(all, conf)
	return call{plugin: "vpc-snat", verb: verb, version: version, container: "c1", netns: "/run/netns/" + netns, conf: all, prev: wired(t, netns)}
}

func (h *host) nat() string {
	return must(h.t, "nsenter", "--net=/run/netns/"+h.name, "--", "iptables", "-t", "nat", "-S")
}

func TestSNATRoundTrip(t *testing.T) {
	eachVersion(t, func(t *testing.T, v string) {
		h, pod := newHost(t), newNetns(t)
		a := snat(t, "ADD", v, pod, nil)
		got := result(t, v, h.ok(a))
		want, err := a.prev.GetAsVersion(v)
		if err != nil {
			t.Fatal(err)
		}
		same, err := types100.NewResultFromResult(want)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(same, got); diff != "" {
			t.Errorf("prevResult changed: %s", diff)
		}
		if rules := h.nat(); strings.Count(rules, "AWS-SNAT-CHAIN") != 9 {
			t.Errorf("rules: %s", rules)
		}
		h.ok(a.as("CHECK", a.prev))
		before := h.nat()
		for range 3 {
			h.ok(a.as("DEL", nil))
		}
		if diff := cmp.Diff(before, h.nat()); diff != "" {
			t.Errorf("DEL changed rules: %s", diff)
		}
		must(t, "nsenter", "--net=/run/netns/"+h.name, "--", "iptables", "-t", "nat", "-F", "AWS-SNAT-CHAIN-1")
		h.fails(a.as("CHECK", a.prev), 999, "AWS-SNAT-CHAIN-1")
		h.ok(a)
		h.ok(a.as("CHECK", a.prev))
		h.ip("rule", "del", "priority", "1024")
		h.fails(a.as("CHECK", a.prev), 999, "1024")
	})
}

func TestSNATRefuses(t *testing.T) {
	eachVersion(t, func(t *testing.T, v string) {
		h, pod := newHost(t), newNetns(t)
		for _, bad := range []struct {
			key   string
			value any
			words []string
		}{
			{"externalSNAT", "perhaps", []string{"externalSNAT", "perhaps", "true or false"}},
			{"randomizeSNAT", "dice", []string{"randomizeSNAT", "dice", "prng"}},
			{"excludeSNATCIDRs", []string{"10.0.0.0/8", "x"}, []string{"excludeSNATCIDRs", `"x"`}},
			{"excludeSNATCIDRs", map[string]string{}, []string{"excludeSNATCIDRs"}},
			{"connmark", 0, []string{"connmark", "0"}},
			{"chainStyle", "round", []string{"chainStyle", "round"}},
			{"backend", "pf", []string{"backend", "pf", "nftables"}},
			{"vpcCIDRs", nil, []string{"vpcCIDRs", "vpc-ipamd"}},
		} {
			c := snat(t, "ADD", v, pod, map[string]any{bad.key: bad.value})
			if bad.value == nil {
				delete(c.conf, bad.key)
			}
			h.fails(c, 7, bad.words...)
		}
		c := snat(t, "ADD", v, pod, nil)
		h.fails(c.as("ADD", nil), 7, "prevResult")
		if rules := h.nat(); strings.Contains(rules, "AWS") {
			t.Errorf("refused ADDs left %s", rules)
		}
		broken := c.as("DEL", nil)
		broken.conf = map[string]any{"externalSNAT": "perhaps"}
		h.ok(broken)
	})
}

// Two networks that want the same share the node; one that wants otherwise is
// refused, both named, until the first gives way.
func TestSNATNetworksDisagree(t *testing.T) {
	h, pod := newHost(t), newNetns(t)
	of := func(network string, conf map[string]any) call {
		c := snat(t, "ADD", "1.1.0", pod, conf)
		c.network = network
		return c
	}
	h.ok(of("vpc", nil))
	h.ok(of("second", map[string]any{"connmark": 128, "externalSNAT": "false"})) // the defaults, in other words
	h.fails(of("third", map[string]any{"randomizeSNAT": "none"}), 7, "vpc", "third", "snat.json")
	h.ok(of("vpc", map[string]any{"randomizeSNAT": "none"}))
	h.ok(of("third", map[string]any{"randomizeSNAT": "none"}))
	if rules := h.nat(); strings.Contains(rules, "random") {
		t.Errorf("rules: %s", rules)
	}
}

func TestSNATStatusAndGC(t *testing.T) {
	h := newHost(t)
	status := snat(t, "STATUS", "1.1.0", "", nil)
	status.prev = nil
	h.ok(status)
	bad := snat(t, "STATUS", "1.1.0", "", map[string]any{"connmark": "x"})
	bad.prev = nil
	h.fails(bad, 7, "connmark")
	// A node that has the iptables backend and no iptables.
	bare := status
	bare.wrap = []string{"env", "PATH=" + t.TempDir()}
	h.fails(bare, 50, "install iptables", "nftables")

	gc := snat(t, "GC", "1.1.0", "", nil)
	gc.prev = nil
	h.ok(gc)
	if rules := h.nat(); strings.Contains(rules, "AWS") {
		t.Errorf("GC on a node without pods made %s", rules)
	}
	h.ok(snat(t, "ADD", "1.1.0", newNetns(t), nil))
	must(t, "nsenter", "--net=/run/netns/"+h.name, "--", "iptables", "-t", "nat", "-N", "AWS-SNAT-CHAIN-9")
	h.ok(gc)
	if rules := h.nat(); strings.Contains(rules, "AWS-SNAT-CHAIN-9") || !strings.Contains(rules, "AWS-SNAT-CHAIN-2") {
		t.Errorf("after GC: %s", rules)
	}
}

// The nftables backend needs no iptables command.
func TestSNATWithoutIPTables(t *testing.T) {
	h := newHost(t)
	c := snat(t, "ADD", "1.1.0", newNetns(t), map[string]any{"backend": "auto"})
	c.wrap = []string{"env", "PATH=" + t.TempDir()}
	h.ok(c)
	if table := must(t, "nsenter", "--net=/run/netns/"+h.name, "--", "nft", "list", "table", "ip", "vpc-snat"); !strings.Contains(table, "snat to 10.20.11.162 fully-random") {
		t.Errorf("table: %s", table)
	}
	h.ok(c.as("CHECK", c.prev))
}

// On a node that is right ADD executes nothing.
func TestSNATFreeOnAHealthyNode(t *testing.T) {
	h, pod := newHost(t), newNetns(t)
	a := snat(t, "ADD", "1.1.0", pod, nil)
	h.ok(a)
	log := filepath.Join(t.TempDir(), "strace")
	a.wrap = []string{"strace", "-f", "-qq", "-e", "trace=execve,flock", "-o", log}
	h.ok(a)
	raw, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(raw), "execve("); n != 1 || strings.Contains(string(raw), "flock(") {
		t.Errorf("ADD on a healthy node: %s", raw)
	}
}
