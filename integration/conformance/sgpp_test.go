package conformance

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/google/go-cmp/cmp"

	"github.com/vpcchain/vpcchain/pkg/nodefacts"
)

// What needs 802.1Q links is in plugins/vpc-sgpp, for a kernel that has them; here
// is what every kernel can do.

func sgpp(verb, version, netns string, prev *types100.Result) call {
	return call{
		plugin: "vpc-sgpp", verb: verb, version: version, container: "c1", netns: "/run/netns/" + netns, prev: prev,
		args: "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0",
	}
}

// branched is what vpc-veth hands over for a branch ENI.
func branched(t testing.TB, netns, link string) *types100.Result {
	return &types100.Result{
		CNIVersion: "1.1.0",
		Interfaces: []*types100.Interface{
			{Name: "eni0123456789a", Mac: "0a:00:00:00:00:01"},
			{Name: "eth0", Mac: "0a:00:00:00:00:02", Sandbox: "/run/netns/" + netns},
			{Name: "eni-0trunk", Mac: "02:00:00:00:06:01"},
			{Name: link, Mac: "02:00:00:01:00:05"},
		},
		IPs: []*types100.IPConfig{{Interface: new(1), Address: address(t, "10.20.64.15/32"), Gateway: address(t, "10.20.64.1/32").IP}},
	}
}

// A pod without a branch goes through unchanged, whatever the node facts are, and
// nothing is read or written for it: not even the lock.
func TestSGPPPassesThrough(t *testing.T) {
	eachVersion(t, func(t *testing.T, v string) {
		h, pod := newHost(t), newNetns(t)
		if err := os.WriteFile(h.facts, []byte("not JSON"), 0o600); err != nil {
			t.Fatal(err)
		}
		before := h.all()
		plain := wired(t, pod)
		a := sgpp("ADD", v, pod, plain)
		trace := filepath.Join(t.TempDir(), "trace")
		a.wrap = []string{"strace", "-f", "-e", "trace=socket,openat", "-o", trace}
		got := result(t, v, h.ok(a))
		raw, err := plain.GetAsVersion(v)
		if err != nil {
			t.Fatal(err)
		}
		want, err := types100.NewResultFromResult(raw)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("prevResult changed: %s", diff)
		}
		calls, err := os.ReadFile(trace)
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range []string{"socket(", "node.json", "sgpp"} {
			if strings.Contains(string(calls), word) {
				t.Errorf("ADD of a pod without a branch uses %s:\n%s", word, calls)
			}
		}
		a.wrap = nil
		h.ok(a.as("CHECK", plain))
		h.ok(a.as("DEL", plain))
		h.ok(a.as("DEL", nil))
		if diff := cmp.Diff(before, h.all()); diff != "" {
			t.Errorf("a pod without a branch changed\n%s", diff)
		}
	})
}

// all is the host's links, rules and routes.
func (h *host) all() string {
	return h.ip("-br", "link") + h.ip("rule") + h.ip("route", "show", "table", "all")
}

func TestSGPPRefuses(t *testing.T) {
	eachVersion(t, func(t *testing.T, v string) {
		h, pod := newHost(t), newNetns(t)
		before := h.all()
		add := func(change func(c *call, r *types100.Result)) call {
			r := branched(t, pod, "vlan.eth.5")
			c := sgpp("ADD", v, pod, r)
			c.conf = map[string]any{}
			change(&c, r)
			return c
		}
		for name, tc := range map[string]struct {
			code   uint
			words  []string
			change func(c *call, r *types100.Result)
		}{
			"no prevResult": {7, []string{"prevResult"}, func(c *call, _ *types100.Result) { c.prev = nil }},
			"mode":          {7, []string{"enforcingMode", "loose"}, func(c *call, _ *types100.Result) { c.conf["enforcingMode"] = "loose" }},
			"trunkMAC":      {7, []string{"trunkMAC", "here"}, func(c *call, _ *types100.Result) { c.conf["trunkMAC"] = "here" }},
			"nodeIP":        {7, []string{"nodeIP", "here"}, func(c *call, _ *types100.Result) { c.conf["nodeIP"] = "here" }},
			"VLAN 0":        {7, []string{"vlan.eth.0", "4094"}, func(_ *call, r *types100.Result) { r.Interfaces[3].Name = "vlan.eth.0" }},
			"VLAN 4095":     {7, []string{"vlan.eth.4095"}, func(_ *call, r *types100.Result) { r.Interfaces[3].Name = "vlan.eth.4095" }},
			"VLAN x":        {7, []string{"vlan.eth.x"}, func(_ *call, r *types100.Result) { r.Interfaces[3].Name = "vlan.eth.x" }},
			"no MAC":        {7, []string{"MAC"}, func(_ *call, r *types100.Result) { r.Interfaces[3].Mac = "" }},
			"no router":     {7, []string{"router"}, func(_ *call, r *types100.Result) { r.IPs[0].Gateway = nil }},
			"no address":    {7, []string{"no address"}, func(_ *call, r *types100.Result) { r.IPs = nil }},
			"two branches": {7, []string{"two branch"}, func(_ *call, r *types100.Result) {
				r.Interfaces = append(r.Interfaces, &types100.Interface{Name: "vlan.eth.6"})
			}},
			"no host veth":     {7, []string{"vpc-veth"}, func(_ *call, r *types100.Result) { r.Interfaces = r.Interfaces[2:]; r.IPs[0].Interface = nil }},
			"no trunk named":   {7, []string{"trunkMAC"}, func(_ *call, r *types100.Result) { r.Interfaces[2].Mac = "" }},
			"no trunk here":    {11, []string{"02:00:00:00:06:01", "attached"}, func(*call, *types100.Result) {}},
			"no namespace":     {8, nil, func(c *call, _ *types100.Result) { c.netns = "/run/netns/none" }},
			"host's namespace": {8, []string{"host's own"}, func(c *call, _ *types100.Result) { c.netns = "/run/netns/" + h.name }},
		} {
			t.Run(name, func(t *testing.T) {
				inner := *h
				inner.t = t
				inner.fails(add(tc.change), tc.code, append(tc.words, "pod shop/web-0")...)
			})
		}
		if diff := cmp.Diff(before, h.all()); diff != "" {
			t.Errorf("refused ADDs changed\n%s", diff)
		}
		c := add(func(*call, *types100.Result) {})
		h.fails(c.as("CHECK", c.prev), 999, "vlan.eth.5", "missing")
		h.fails(c.as("CHECK", nil), 7, "prevResult")
	})
}

// DEL of what never was, with whatever is told of it.
func TestSGPPDeletesNothing(t *testing.T) {
	eachVersion(t, func(t *testing.T, v string) {
		h, pod := newHost(t), newNetns(t)
		before := h.all()
		for _, prev := range []*types100.Result{nil, branched(t, pod, "vlan.eth.5"), branched(t, pod, "vlan.eth.x")} {
			c := sgpp("DEL", v, pod, prev)
			h.ok(c)
			c.netns = ""
			h.ok(c)
			c.netns = "/run/netns/none"
			h.ok(c)
		}
		if diff := cmp.Diff(before, h.all()); diff != "" {
			t.Errorf("DEL of nothing changed\n%s", diff)
		}
	})
}

// Rules of strict branches need no 802.1Q: GC removes those that nobody has, with
// the node's state, and leaves others' alone.
func TestSGPPStatusAndGC(t *testing.T) {
	h, pod := newHost(t), newNetns(t)
	before := h.all()
	c := sgpp("STATUS", "1.1.0", pod, nil)
	h.ok(c)
	facts := nodefacts.Facts{Trunk: &nodefacts.Trunk{ENI: "eni-0trunk", MAC: "02:00:00:00:06:01"}, EnforcingMode: "strict"}
	if err := nodefacts.Write(h.facts, facts); err != nil {
		t.Fatal(err)
	}
	h.fails(c, 51, "02:00:00:00:06:01", "attached")
	facts.EnforcingMode = "loose"
	if err := nodefacts.Write(h.facts, facts); err != nil {
		t.Fatal(err)
	}
	h.fails(c, 5, "loose", h.facts)
	h.fails(sgpp("GC", "1.1.0", pod, nil), 7, "valid-attachments")
	h.ip("rule", "add", "priority", "10", "iif", "eni0123456789a", "lookup", "105", "protocol", "86")
	h.ip("rule", "add", "priority", "10", "iif", "up0", "lookup", "7000", "protocol", "86")
	h.ip("rule", "add", "priority", "20", "lookup", "local", "protocol", "86")
	h.ip("rule", "del", "priority", "0")
	gc := sgpp("GC", "1.1.0", pod, nil)
	gc.conf = map[string]any{"cni.dev/valid-attachments": []types.GCAttachment{}}
	h.ok(gc)
	h.ok(gc)
	h.ip("rule", "del", "priority", "10", "iif", "up0", "lookup", "7000")
	if diff := cmp.Diff(before, h.all()); diff != "" {
		t.Errorf("GC left\n%s", diff)
	}
}

// A sandbox that is made again takes its old veth's name, and none of the rules
// that sent that one's packets to a branch.
func TestVethForgetsBranch(t *testing.T) {
	h, before, after := newHost(t), newNetns(t), newNetns(t)
	was, is := add("1.0.0", "old", before, fromIPAM(t, "10.20.11.7/32")), add("1.0.0", "new", after, fromIPAM(t, "10.20.11.8/32"))
	was.args = "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0"
	is.args = was.args
	veth := result(t, "1.0.0", h.ok(was)).Interfaces[0].Name
	h.ip("rule", "add", "priority", "10", "iif", veth, "lookup", "105", "protocol", "86")
	h.ip("rule", "add", "priority", "10", "iif", "up0", "lookup", "105", "protocol", "86")
	h.ok(is)
	if got := h.ip("rule", "show", "priority", "10"); strings.Contains(got, veth) || !strings.Contains(got, "up0") {
		t.Errorf("rules: %s", got)
	}
}
