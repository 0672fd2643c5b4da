package runtimes

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/vpcchain/vpcchain/integration/lab"
	"github.com/vpcchain/vpcchain/integration/vm"
)

// A new conflist is picked up while the runtime runs: pods of before keep what
// they have and go by it, pods of after have the new setting.
func (s *suite) testConflistEdit(t *testing.T) {
	const mtu = 1400
	old := s.run(t, "node-a", PodSpec{Name: "before"})
	before, edited := s.conflist(t, "node-a"), s.conflist(t, "node-a")
	plugin(t, edited, "vpc-veth")["mtu"] = mtu
	s.setConflist(t, "node-a", edited)
	took := s.untilMTU(t, mtu)
	t.Logf("the new conflist was in use after %.1f s", took.Seconds())
	s.reach(t, "node-b", serveAt(old))
	s.remove(t, "node-a", old)
	s.setConflist(t, "node-a", before)
	s.untilMTU(t, 9001)
	s.clean(t, "node-a")
}

// untilMTU makes pods until one has the MTU. The runtime reads the directory by
// itself, so a pod or two may still be of the old conflist; none may fail.
func (s *suite) untilMTU(t *testing.T, mtu int) time.Duration {
	t.Helper()
	start := time.Now()
	for n := 0; ; n++ {
		p := s.run(t, "node-a", PodSpec{Name: fmt.Sprintf("mtu%d-%d", mtu, n)})
		var links []iface
		s.exec(t, "node-a", p, &links, "ifaces")
		s.remove(t, "node-a", p)
		i := slices.IndexFunc(links, func(l iface) bool { return l.Name == "eth0" })
		if i >= 0 && links[i].MTU == mtu {
			return time.Since(start)
		}
		if time.Since(start) > 10*time.Second {
			t.Fatalf("after 10 s a new pod has %+v, want MTU %d", links, mtu)
		}
	}
}

const (
	annotations = "io.kubernetes.cri.pod-annotations"
	groupsKey   = "vpc.amazonaws.com/security-groups"
)

const groupsNode = "node-b"

// A pod asks for security groups of its own. A runtime that delivers annotations
// gets it a branch ENI, where the kernel has 802.1Q links; where it has not, the
// ADD fails, says so, and takes everything back.
//
// It is the other node's case: where thirty pods have been, every ENI that the
// instance may have is in use, and a trunk is an ENI.
func (s *suite) testSecurityGroups(t *testing.T) {
	before := s.conflist(t, groupsNode)
	s.setConflist(t, groupsNode, groupsConflist(t))
	defer s.setConflist(t, groupsNode, before)
	now := filepath.Join(binDirectory(t), "vpc-ipamd")
	_ = s.daemon[groupsNode].Stop(syscall.SIGTERM)
	s.startDaemon(t, groupsNode, now, append([]string{"ENABLE_POD_ENI=true"}, poolEnv...)...)

	wish := map[string]string{groupsKey: "sg-pod"}
	p, err := s.on[groupsNode].Run(limited(t, time.Minute), PodSpec{Name: "grouped", Annotations: wish})
	calls, cerr := s.node[groupsNode].Calls()
	if cerr != nil {
		t.Fatal(cerr)
	}
	i := slices.IndexFunc(calls, func(c Call) bool { return c.Verb == "ADD" && strings.Contains(c.Args, "K8S_POD_NAME=grouped") })
	if i < 0 {
		t.Fatalf("no ADD of the pod, %v", err)
	}
	delivered, told := calls[i].Config.RuntimeConfig[annotations]
	switch {
	case !told && err == nil:
		s.seen[colGroups] = "annotations not delivered: a pod like any other"
	case !told:
		t.Errorf("without its annotations the pod fails: %v", err)
	default:
		var got map[string]string
		if err := json.Unmarshal(delivered, &got); err != nil || !maps.Equal(got, wish) {
			t.Errorf("vpc-ipam was told %s, %v; want %v", delivered, err, wish)
		}
		s.seen[colGroups] = "annotations delivered"
		s.grouped(t, p, err)
	}
	if err == nil {
		s.remove(t, groupsNode, p)
	}
	s.clean(t, groupsNode)
	if n := s.branchLinks(t); n != 0 {
		t.Errorf("%d branch links are left", n)
	}
	_ = s.daemon[groupsNode].Stop(syscall.SIGTERM)
	s.startDaemon(t, groupsNode, now, poolEnv...)
}

// grouped looks at the outcome for a pod whose wish was delivered.
func (s *suite) grouped(t *testing.T, p Pod, err error) {
	t.Helper()
	if kernel := vm.Probe(); kernel != nil {
		if err == nil || !strings.Contains(err.Error(), "802.1Q") {
			t.Errorf("without 802.1Q in the kernel the pod fails with: %v", err)
		}
		t.Logf("this kernel has no 802.1Q links; the ADD says: %v", err)
		return
	}
	if err == nil {
		err = s.serves(t, groupsNode, p)
	}
	if err != nil {
		t.Errorf("the pod with security groups: %v", err)
		return
	}
	if n := s.branchLinks(t); n != 1 {
		t.Errorf("the node has %d branch links", n)
	}
	// Its group lets in one port; the node's, which other pods have, every one.
	s.reach(t, "node-a", serveAt(p))
	if _, err := s.lab.Dial(t.Context(), lab.HostEnd("node-a"), netip.AddrPortFrom(p.Addr, PourPort)); err == nil {
		t.Error("a port that the pod's group does not allow is reached")
	}
}

func (s *suite) branchLinks(t *testing.T) int {
	t.Helper()
	out, err := s.node[groupsNode].Exec(t.Context(), "ip", "-o", "link", "show")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(out, "vlan.eth.")
}

// groupsConflist is the shipped flavour under the suite's name.
func groupsConflist(t *testing.T) map[string]any {
	t.Helper()
	raw, err := os.ReadFile("../../conflist/10-vpc-sgpp.conflist")
	if err != nil {
		t.Fatal(err)
	}
	var list map[string]any
	if err := json.Unmarshal(raw, &list); err != nil {
		t.Fatal(err)
	}
	list["name"] = network
	return list
}

// No runtime here sends CHECK or GC. libcni beside it does, for its pods: CHECK
// agrees with a pod that is well and not with one that is harmed, GC takes what
// the caller does not list and leaves the rest, and the runtime's own DEL of what
// GC took is a success.
func (s *suite) testCheckAndGC(t *testing.T) {
	calls, err := s.node["node-a"].Calls()
	if err != nil {
		t.Fatal(err)
	}
	sent := map[string]string{"CHECK": "not sent", "GC": "not sent"}
	for _, c := range calls {
		if sent[c.Verb] != "" {
			sent[c.Verb] = "sent"
		}
	}
	stays, goes := s.run(t, "node-a", PodSpec{Name: "stays"}), s.run(t, "node-a", PodSpec{Name: "goes"})
	netns := func(p Pod) string { return s.calls(t, "node-a", p)[0].Netns }
	for _, p := range []Pod{stays, goes} {
		if err := s.libcni(t, "node-a", libcniRequest{Verb: "CHECK", Container: p.ID, Netns: netns(p)}); err != nil {
			t.Errorf("CHECK of %s: %v", p.Name, err)
		}
	}
	if _, err := s.node["node-a"].Exec(t.Context(), "nsenter", "--net="+netns(goes), "--", "ip", "addr", "flush", "dev", "eth0"); err != nil {
		t.Fatal(err)
	}
	if err := s.libcni(t, "node-a", libcniRequest{Verb: "CHECK", Container: goes.ID, Netns: netns(goes)}); err == nil {
		t.Error("CHECK agrees with a pod that has lost its address")
	}
	valid := []types.GCAttachment{{ContainerID: stays.ID, IfName: "eth0"}}
	if err := s.libcni(t, "node-a", libcniRequest{Verb: "GC", Valid: valid}); err != nil {
		t.Errorf("GC: %v", err)
	}
	pool, err := s.lab.Pool(t.Context(), "node-a")
	if err != nil || pool.Used != 1 {
		t.Errorf("after GC %d addresses are in use, %v", pool.Used, err)
	}
	s.reach(t, "node-b", serveAt(stays))
	if _, err := s.lab.Dial(t.Context(), lab.HostEnd("node-b"), serveAt(goes)); err == nil {
		t.Error("the pod that GC took is reached")
	}
	s.remove(t, "node-a", goes)
	s.remove(t, "node-a", stays)
	s.clean(t, "node-a")
	s.seen[colCHECK] = sent["CHECK"] + "; passes by libcni"
	s.seen[colGC] = sent["GC"] + "; works by libcni"
}
