package conformance

import (
	"fmt"
	"net"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/google/go-cmp/cmp"

	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

const ownNetns = "/proc/self/ns/net"

func address(t testing.TB, cidr string) net.IPNet {
	t.Helper()
	ip, n, err := net.ParseCIDR(cidr)
	if err != nil {
		t.Fatal(err)
	}
	return net.IPNet{IP: ip, Mask: n.Mask}
}

// fromIPAM is what vpc-ipam hands over.
func fromIPAM(t testing.TB, cidr string) *types100.Result {
	return &types100.Result{
		CNIVersion: "1.1.0", Interfaces: []*types100.Interface{{Name: "eni-0f00", Mac: "02:00:00:00:00:01", Mtu: 9001}},
		IPs: []*types100.IPConfig{{Interface: new(0), Address: address(t, cidr), Gateway: net.IPv4(10, 20, 11, 1)}},
	}
}

// fromStatic is what upstream static and host-local hand over.
func fromStatic(t testing.TB, cidr string) *types100.Result {
	return &types100.Result{CNIVersion: "1.1.0", IPs: []*types100.IPConfig{{Address: address(t, cidr)}}}
}

func add(version, container, netns string, prev *types100.Result) call {
	return call{plugin: "vpc-veth", verb: "ADD", version: version, container: container, netns: "/run/netns/" + netns, prev: prev}
}

// as is the same call with another verb and prevResult.
func (c call) as(verb string, prev *types100.Result) call {
	c.verb, c.prev = verb, prev
	return c
}

func TestVethRoundTrip(t *testing.T) {
	eachVersion(t, func(t *testing.T, v string) {
		for name, prev := range map[string]*types100.Result{"vpc-ipam": fromIPAM(t, "10.20.11.7/32"), "static": fromStatic(t, "10.20.11.7/24")} {
			t.Run(name, func(t *testing.T) {
				h, pod := newHost(t), newNetns(t)
				a := add(v, "c1", pod, prev)
				r := result(t, v, h.ok(a))
				if len(r.Interfaces) < 2 || r.Interfaces[0].Sandbox != "" || r.Interfaces[1].Name != "eth0" || r.Interfaces[1].Sandbox == "" {
					t.Fatalf("interfaces %+v", r.Interfaces)
				}
				if i := r.IPs[0].Interface; i == nil || *i != 1 {
					t.Errorf("the address points at %v", i)
				}
				link := h.ip("-d", "link", "show", r.Interfaces[0].Name)
				if !strings.Contains(link, "alias vpc/c1/eth0") || !strings.Contains(link, "state UP") || !strings.Contains(link, "mtu 9001") {
					t.Errorf("host veth: %s", link)
				}
				if got := must(t, "nsenter", "--net=/run/netns/"+pod, "--", "ip", "-4", "addr", "show", "eth0"); !strings.Contains(got, "10.20.11.7/32") {
					t.Errorf("pod: %s", got)
				}
				if got := h.ip("rule"); !strings.Contains(got, "512:\tfrom all lookup 5120") {
					t.Errorf("rules: %s", got)
				}
				must(t, "nsenter", "--net=/run/netns/"+h.name, "--", "ping", "-n", "-c1", "-W2", "10.20.11.7")
				h.ok(a.as("CHECK", r))
				for range 3 {
					h.ok(a.as("DEL", r))
				}
				if got := strings.TrimSpace(h.state()); got != "" {
					t.Errorf("DEL left %s", got)
				}
			})
		}
	})
}

func TestVethRefuses(t *testing.T) {
	eachVersion(t, func(t *testing.T, v string) {
		h, pod := newHost(t), newNetns(t)
		prev := fromIPAM(t, "10.20.11.7/32")
		bad := func(key string, value any) call {
			c := add(v, "c1", pod, prev)
			c.conf = map[string]any{key: value}
			return c
		}
		h.fails(add(v, "c1", pod, nil), 7, "prevResult")
		h.fails(add(v, "c1", pod, &types100.Result{CNIVersion: "1.1.0"}), 7, "no address")
		h.fails(add(v, "c1", "none", prev), 8, "does not exist")
		h.fails(add(v, "c1", h.name, prev), 8, "host's own")
		h.fails(bad("mtu", 100), 7, "mtu", "100", "576")
		h.fails(bad("mtu", "many"), 7, "mtu", "many")
		h.fails(bad("vethPrefix", "toolong"), 7, "vethPrefix", "toolong")
		h.fails(bad("nodeIP", "here"), 7, "nodeIP", "here")
		if got := strings.TrimSpace(h.state()); got != "" {
			t.Errorf("refused ADDs left %s", got)
		}
		// A route with a source that is not the node's fails in the last step: all of it is undone.
		h.fails(bad("nodeIP", "192.0.2.1"), 999, "route")
		if got := strings.TrimSpace(h.state()); got != "" {
			t.Errorf("a failed ADD left %s", got)
		}
		must(t, "nsenter", "--net=/run/netns/"+pod, "--", "ip", "link", "add", "eth0", "type", "bridge")
		h.fails(add(v, "c1", pod, prev), 7, "eth0", "exists")
		if got := strings.TrimSpace(h.state()); got != "" {
			t.Errorf("an ADD beside an eth0 left %s", got)
		}
	})
}

func TestVethSecondInterface(t *testing.T) {
	eachVersion(t, func(t *testing.T, v string) {
		h, pod := newHost(t), newNetns(t)
		first, second := add(v, "c1", pod, fromIPAM(t, "10.20.11.7/32")), add(v, "c1", pod, fromIPAM(t, "10.20.11.8/32"))
		second.ifname = "net1"
		h.ok(first)
		r := result(t, v, h.ok(second))
		if len(r.Routes) != 0 {
			t.Errorf("the second interface claims routes %v", r.Routes)
		}
		if got := must(t, "nsenter", "--net=/run/netns/"+pod, "--", "ip", "route", "show", "default"); strings.Count(got, "default") != 1 || !strings.Contains(got, "eth0") {
			t.Errorf("default routes: %s", got)
		}
		h.ok(second.as("CHECK", r))
		h.ok(second.as("DEL", r))
		if n := len(h.links()); n != 1 {
			t.Errorf("%d links after DEL of net1", n)
		}
		must(t, "nsenter", "--net=/run/netns/"+h.name, "--", "ping", "-n", "-c1", "-W2", "10.20.11.7")
	})
}

// DEL works with whatever is left: no namespace, no prevResult, a renamed
// network, a path that another pod has by now.
func TestVethDelete(t *testing.T) {
	eachVersion(t, func(t *testing.T, v string) {
		for name, f := range map[string]func(h *host, c *call, pod string){
			"no prevResult":     func(_ *host, c *call, _ string) { c.prev = nil },
			"no netns variable": func(_ *host, c *call, _ string) { c.netns, c.prev = "", nil },
			"namespace gone": func(h *host, _ *call, pod string) {
				// A process may hold the namespace still: the link is there.
				must(h.t, "ip", "netns", "del", pod)
			},
			"network renamed": func(_ *host, c *call, _ string) { c.network, c.prev = "other", nil },
			"facts broken":    func(h *host, c *call, _ string) { c.conf = map[string]any{"nodeFacts": "/proc/self/environ"} },
		} {
			t.Run(name, func(t *testing.T) {
				h, pod := newHost(t), newNetns(t)
				a := add(v, "c1", pod, fromIPAM(t, "10.20.11.7/32"))
				r := result(t, v, h.ok(a))
				d := a.as("DEL", r)
				f(h, &d, pod)
				h.ok(d)
				h.ok(d)
				if got := strings.TrimSpace(h.state()); got != "" {
					t.Errorf("DEL left %s", got)
				}
			})
		}
	})
}

// A pod that is made again keeps its name and so its host veth's: the new
// sandbox replaces the old one, and the old one's late DEL touches nothing.
func TestVethLateDelete(t *testing.T) {
	eachVersion(t, func(t *testing.T, v string) {
		h, before, after := newHost(t), newNetns(t), newNetns(t)
		was, is := add(v, "old", before, fromIPAM(t, "10.20.11.7/32")), add(v, "new", after, fromIPAM(t, "10.20.11.8/32"))
		was.args = "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0"
		is.args = was.args
		old := result(t, v, h.ok(was))
		r := result(t, v, h.ok(is))
		if name := vpcnet.HostVethName("eni", "default", "web-0", "", "eth0"); !slices.Equal(h.links(), []string{name}) {
			t.Fatalf("links %v, want one named %s", h.links(), name)
		}
		want := h.state()
		late := was.as("DEL", old)
		h.ok(late)
		late.netns = is.netns // the path was used again
		h.ok(late)
		if diff := cmp.Diff(want, h.state()); diff != "" {
			t.Errorf("the late DEL changed: %s", diff)
		}
		h.ok(is.as("CHECK", r))
		must(t, "nsenter", "--net=/run/netns/"+h.name, "--", "ping", "-n", "-c1", "-W2", "10.20.11.8")
	})
}

// A name in use is replaced only if its link is this plugin's.
func TestVethNameInUse(t *testing.T) {
	for name, tc := range map[string]struct {
		setUp    []string
		replaced bool
	}{
		"half-made": {nil, true},
		"up":        {[]string{"up"}, false},
		"foreign":   {[]string{"alias", "somebody"}, false},
		"old":       {[]string{"alias", "vpc/other/eth0", "up"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			h, pod := newHost(t), newNetns(t)
			veth := vpcnet.HostVethName("eni", "", "", "c1", "eth0")
			h.ip("link", "add", veth, "type", "veth", "peer", "name", "other")
			if len(tc.setUp) > 0 {
				h.ip(append([]string{"link", "set", veth}, tc.setUp...)...)
			}
			a := add("1.1.0", "c1", pod, fromIPAM(t, "10.20.11.7/32"))
			if tc.replaced {
				h.ok(a)
				return
			}
			h.fails(a, 5, veth, "remove or rename")
			h.ip("link", "show", veth)
		})
	}
}

func TestVethMTU(t *testing.T) {
	h := newHost(t)
	h.ip("link", "set", "up0", "mtu", "1400")
	withMTU := fromIPAM(t, "10.20.11.7/32")
	withMTU.Interfaces[0].Mtu = 1600
	for i, tc := range []struct {
		prev *types100.Result
		conf any
		want string
	}{
		{withMTU, 1300, "1300"},
		{withMTU, "1301", "1301"},
		{withMTU, nil, "1600"},
		{fromStatic(t, "10.20.11.7/32"), nil, "1400"},
	} {
		a := add("1.1.0", fmt.Sprint("c", i), newNetns(t), tc.prev)
		a.conf = map[string]any{"mtu": tc.conf}
		r := result(t, "1.1.0", h.ok(a))
		if got := h.ip("link", "show", r.Interfaces[0].Name); !strings.Contains(got, "mtu "+tc.want+" ") {
			t.Errorf("case %d: %s", i, got)
		}
		h.ok(a.as("DEL", r))
	}
}

// 40 ADDs and DELs of different pods at once, then of one pod's sandboxes.
func TestVethParallel(t *testing.T) {
	h := newHost(t)
	pods := make([]call, 40)
	for i := range pods {
		pods[i] = add("1.1.0", fmt.Sprint("c", i), newNetns(t), fromIPAM(t, fmt.Sprintf("10.20.11.%d/32", 20+i)))
	}
	each := func(calls []call, verb string, tolerate uint) {
		var wg sync.WaitGroup
		for _, c := range calls {
			wg.Go(func() {
				if verb != "ADD" {
					c.prev = nil
				}
				c.verb = verb
				if _, err := h.run(c); err != nil {
					var e *types.Error
					if !asCode(err, &e) || e.Code != tolerate {
						t.Errorf("%s of %s: %v", verb, c.container, err)
					}
				}
			})
		}
		wg.Wait()
	}
	each(pods, "ADD", 0)
	if n := len(h.links()); n != len(pods) {
		t.Errorf("%d links for %d pods", n, len(pods))
	}
	each(pods, "DEL", 0)
	if got := strings.TrimSpace(h.state()); got != "" {
		t.Errorf("left %s", got)
	}
	// One pod, many sandboxes: whoever loses the name is told to try again (11).
	for i := range pods {
		pods[i].args = "K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0"
	}
	each(pods, "ADD", 11)
	if n := len(h.links()); n != 1 {
		t.Errorf("%d links for one pod name", n)
	}
	each(pods, "DEL", 0)
	if got := strings.TrimSpace(h.state()); got != "" {
		t.Errorf("left %s", got)
	}
}

func TestVethHostNamespaceOfCaller(t *testing.T) {
	h := newHost(t)
	c := add("1.1.0", "c1", "x", fromIPAM(t, "10.20.11.7/32"))
	c.netns = ownNetns
	h.fails(c, 8, "host's own")
	if out, err := exec.Command("nsenter", "--net=/run/netns/"+h.name, "--", "ip", "route", "show", "table", "5120").Output(); err == nil && len(out) > 0 {
		t.Errorf("table 5120 has %s", out)
	}
}
