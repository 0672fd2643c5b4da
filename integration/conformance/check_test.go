package conformance

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/types"
)

func asCode(err error, target **types.Error) bool { return errors.As(err, target) }

// CHECK names the first difference, and puts up with what later plugins change.
func TestVethCheck(t *testing.T) {
	eachVersion(t, func(t *testing.T, v string) {
		h, pod := newHost(t), newNetns(t)
		inPod := func(args ...string) {
			must(t, append([]string{"nsenter", "--net=/run/netns/" + pod, "--", "ip"}, args...)...)
		}
		a := add(v, "c1", pod, fromIPAM(t, "10.20.11.7/32"))
		r := result(t, v, h.ok(a))
		veth := r.Interfaces[0].Name
		check := a.as("CHECK", r)

		inPod("link", "set", "eth0", "mtu", "1400") // upstream tuning
		inPod("addr", "add", "192.0.2.9/32", "dev", "eth0")
		inPod("route", "add", "198.51.100.0/24", "via", "169.254.1.1", "dev", "eth0")
		h.ok(check)

		h.ip("route", "del", "10.20.11.7/32", "table", "5120")
		h.fails(check, 999, "table 5120", "10.20.11.7")
		h.ip("route", "add", "10.20.11.7/32", "dev", veth, "table", "5120")
		h.ok(check)
		h.ip("rule", "del", "priority", "512")
		h.fails(check, 999, "rule 512")
		h.ip("rule", "add", "priority", "512", "lookup", "5120")
		inPod("neigh", "del", "169.254.1.1", "dev", "eth0")
		h.fails(check, 999, "neighbour")
		inPod("neigh", "add", "169.254.1.1", "dev", "eth0", "lladdr", r.Interfaces[0].Mac, "nud", "permanent")
		inPod("route", "del", "default")
		h.fails(check, 999, "default route")
		inPod("route", "add", "default", "via", "169.254.1.1", "dev", "eth0")
		h.ok(check)
		inPod("addr", "del", "10.20.11.7/32", "dev", "eth0")
		h.fails(check, 999, "no address 10.20.11.7/32")
		h.ip("link", "set", veth, "down")
		h.fails(check, 999, veth, "down")
		h.ok(a.as("DEL", r))
		h.fails(check, 999, veth)
	})
}

// GC removes what is not valid on its own network, and nothing on a doubt.
func TestVethGC(t *testing.T) {
	h := newHost(t)
	name := map[string]string{}
	for i, c := range []struct{ network, container string }{{"vpc", "stays"}, {"vpc", "goes"}, {"other", "foreign"}} {
		a := add("1.1.0", c.container, newNetns(t), fromIPAM(t, "10.20.11."+string(rune('5'+i))+"/32"))
		a.network = c.network
		name[c.container] = result(t, "1.1.0", h.ok(a)).Interfaces[0].Name
	}
	gc := call{plugin: "vpc-veth", verb: "GC", version: "1.1.0"}
	h.fails(gc, 7, "valid-attachments")
	expect := func(valid any, left ...string) {
		t.Helper()
		gc.conf = map[string]any{"cni.dev/valid-attachments": valid}
		h.ok(gc)
		var want []string
		for _, c := range left {
			want = append(want, name[c])
		}
		got := h.links()
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("after GC with %v: %v, want %v", valid, got, want)
		}
	}
	expect([]map[string]string{{"containerID": "stays", "ifname": "eth0"}, {"containerID": "goes", "ifname": "net1"}}, "stays", "foreign")
	expect([]any{}, "foreign")
	gc.network = "other"
	expect([]any{})
}

func TestVethStatus(t *testing.T) {
	h := newHost(t)
	status := call{plugin: "vpc-veth", verb: "STATUS", version: "1.1.0"}
	h.ok(status)
	status.conf = map[string]any{"mtu": 1}
	h.fails(status, 7, "mtu")
	status.version = "1.0.0"
	if _, err := h.run(status); err == nil || !strings.Contains(err.Error(), "STATUS") {
		t.Errorf("STATUS at 1.0.0: %v", err)
	}
}
