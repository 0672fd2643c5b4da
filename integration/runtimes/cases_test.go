package runtimes

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/vpcchain/vpcchain/integration/lab"
)

// iface is what `probe ifaces` tells of an interface.
type iface struct {
	Name, MAC string
	MTU       int
	Addresses []string
}

// A pod has a VPC address of its node, the runtime tells it, the interface is
// as vpc-veth makes it, another node reaches it, and its removal leaves nothing.
func (s *suite) testPod(t *testing.T) {
	p := s.run(t, "node-a", PodSpec{Name: "one"})
	var links []iface
	s.exec(t, "node-a", p, &links, "ifaces")
	i := slices.IndexFunc(links, func(l iface) bool { return l.Name == "eth0" })
	if i < 0 || links[i].MTU != 9001 || len(links[i].Addresses) == 0 || links[i].Addresses[0] != p.Addr.String()+"/32" {
		t.Errorf("the pod with %s has %+v", p.Addr, links)
	}
	if out, err := s.node["node-a"].Exec(t.Context(), "ip", "-d", "link", "show", "type", "veth"); err != nil || !strings.Contains(out, "alias "+network+"/"+p.ID+"/eth0") {
		t.Errorf("no host veth is of %s: %v\n%s", p.ID, err, out)
	}
	if seen := s.reach(t, "node-b", serveAt(p)); seen.Server != serveAt(p) || seen.Client.Addr() != s.addr["node-b"] {
		t.Errorf("node-b reaches %+v", seen)
	}
	pool, err := s.lab.Pool(t.Context(), "node-a")
	if err != nil || pool.Used != 1 {
		t.Errorf("the pool has %d addresses in use, %v", pool.Used, err)
	}
	s.remove(t, "node-a", p)
	s.clean(t, "node-a")
	s.verbs(t, p)
}

// verbs says what the runtime asked of the chain for a pod's whole life.
func (s *suite) verbs(t *testing.T, p Pod) {
	t.Helper()
	calls := s.calls(t, "node-a", p)
	var shapes []string
	for i, c := range calls {
		if c.Code != 0 {
			t.Errorf("%v", c)
		}
		switch {
		case (c.Verb == "ADD") != (i == 0):
			t.Errorf("call %d is %v", i, c)
		case c.Verb == "DEL":
			shape := "with netns"
			if c.Netns == "" {
				shape = "empty netns"
			}
			if c.Config.HasPrevResult() {
				shape += " and prevResult"
			} else {
				shape += ", no prevResult"
			}
			shapes = append(shapes, shape)
		}
	}
	if len(calls) < 2 || len(shapes) == 0 {
		t.Fatalf("the pod's calls are %v", calls)
	}
	t.Logf("CNI_ARGS %q", calls[0].Args)
	s.seen[colADD] = "CNI " + calls[0].Config.CNIVersion
	s.seen[colDEL] = fmt.Sprintf("%d×: %s", len(shapes), strings.Join(shapes, "; "))
}

// Pods of two nodes talk both ways, and see each other's own address.
func (s *suite) testTwoPods(t *testing.T) {
	a, b := s.run(t, "node-a", PodSpec{Name: "left"}), s.run(t, "node-b", PodSpec{Name: "right"})
	for _, way := range []struct {
		node     string
		from, to Pod
	}{{"node-a", a, b}, {"node-b", b, a}} {
		var seen lab.Seen
		s.exec(t, way.node, way.from, &seen, "dial", serveAt(way.to).String())
		if seen.Client.Addr() != way.from.Addr || seen.Server != serveAt(way.to) {
			t.Errorf("from %s to %s: %+v", way.from.Addr, way.to.Addr, seen)
		}
	}
	s.remove(t, "node-a", a)
	s.remove(t, "node-b", b)
	s.clean(t, "node-a")
	s.clean(t, "node-b")
}

// The host port of a pod leads to it from another host of the VPC.
func (s *suite) testHostPort(t *testing.T) {
	const port = 18080
	p := s.run(t, "node-a", PodSpec{Name: "published", HostPort: port})
	at := netip.AddrPortFrom(s.addr["node-a"], port)
	if seen := s.reach(t, "node-b", at); seen.Server != serveAt(p) {
		t.Errorf("the host port leads to %v, want %v", seen.Server, serveAt(p))
	}
	s.remove(t, "node-a", p)
	if _, err := s.lab.Dial(t.Context(), lab.HostEnd("node-b"), at); err == nil {
		t.Error("the host port still answers when the pod is gone")
	}
	s.clean(t, "node-a")
	s.seen[colPortmap] = "reached from another host"
}
