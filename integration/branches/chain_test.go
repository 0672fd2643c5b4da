package branches

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/vpcchain/vpcchain/integration/vpcsim/capture"
	"github.com/vpcchain/vpcchain/pkg/nodefacts"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// Security groups of pods in strict mode, then on the same nodes in standard
// mode, then in strict mode again: who may talk to whom, what the trunk carries,
// and that each mode leaves nothing to the next one.
func TestVLANSecurityGroups(t *testing.T) {
	w := newWorld(t, "testdata/groups.yaml")
	s := &scene{world: w, a: w.node(t, "node-a"), b: w.node(t, "node-b"), mode: nodefacts.ModeStrict}
	for _, h := range []*host{s.a, s.b} {
		h.boot(t, s.env()...)
		s.base = append(s.base, h.bare(t))
	}
	for round, mode := range []string{nodefacts.ModeStrict, nodefacts.ModeStandard, nodefacts.ModeStrict} {
		before := []*pod{s.red, s.blue, s.plain, s.far}
		if round > 0 {
			s.restart(t, mode)
		}
		s.populate(t) // beside the pods of the mode before, which live on
		t.Run(fmt.Sprintf("%d-%s", round, mode), func(t *testing.T) {
			s.alive(t, before)
			for _, p := range before {
				if p != nil {
					p.end(t)
				}
			}
			s.judge(t)
			s.onTheWire(t)
			s.explains(t)
			s.check(t)
		})
	}
	for _, p := range s.pods() {
		p.end(t)
	}
	s.empty(t)
}

// alive looks at pods that were made in another mode than their daemon's.
func (s *scene) alive(t *testing.T, pods []*pod) {
	t.Helper()
	for _, p := range pods {
		if p == nil {
			continue
		}
		if err := p.check(t.Context()); err != nil {
			t.Errorf("CHECK of %s in %s mode: %v", p.name, s.mode, err)
		}
	}
	for _, h := range []*host{s.a, s.b} {
		if log := h.daemon.Log(); strings.Contains(log, "withheld") {
			t.Errorf("the daemon of %s finds addresses of pods that it does not know:\n%s", h.name, log)
		}
	}
	if red := pods[0]; red != nil {
		old := s.podEnd(red.name, red) // it serves still
		s.refused(t, s.end("onprem"), old.addr, port{"tcp", 8080})
		s.end("onprem").sees(t, old.addr, port{"udp", 5353}, s.end("onprem").addr)
	}
}

func (s *scene) check(t *testing.T) {
	t.Helper()
	for _, p := range s.pods() {
		if err := p.check(t.Context()); err != nil {
			t.Errorf("CHECK of %s: %v", p.name, err)
		}
	}
}

// onTheWire is what the links of node-a carry.
func (s *scene) onTheWire(t *testing.T) {
	t.Helper()
	red, far, web := s.end("red"), s.end("far"), s.end("web")
	trunk, err := s.trunkLink()
	must(t, err)
	vlan, _ := vpcnet.ParseBranchLink(s.red.link)
	strict := s.mode == nodefacts.ModeStrict
	tcp := port{"tcp", 8080}

	// To the VPC, in either mode: by the trunk, tagged, from the branch's address.
	tagged(t, s.a.captured(t, trunk, "tcp", func() { red.sees(t, far.addr, tcp, red.addr) }), vlan, red, far.addr.String())

	// To the internet: the branch's address on the trunk, or the node's on eth0.
	var other []capture.Packet
	packets := s.a.captured(t, trunk, "tcp", func() {
		other = s.a.captured(t, "eth0", "host "+web.addr.String(), func() { red.sees(t, web.addr, tcp, s.topo.NATGateways[0].PublicIP) })
	})
	if strict {
		tagged(t, packets, vlan, red, web.addr.String())
		if len(other) > 0 {
			t.Errorf("packets to the internet by eth0: %v", other)
		}
	} else {
		if len(packets) > 0 {
			t.Errorf("packets to the internet on the trunk: %v", packets)
		}
		for _, p := range fromTo(other, web.addr.String()) {
			if p.VLAN != 0 || p.Source.Addr() != s.end("node-a").addr {
				t.Errorf("to the internet goes %+v, want the source %s without a tag", p, s.end("node-a").addr)
			}
		}
		if len(fromTo(other, web.addr.String())) == 0 {
			t.Error("nothing to the internet on eth0")
		}
	}
	s.probe(t, trunk, vlan)
}

// probe is the kubelet's: from the node to its own pod.
func (s *scene) probe(t *testing.T, trunk string, vlan int) {
	t.Helper()
	node, red := s.end("node-a"), s.end("red")
	packets := s.a.captured(t, trunk, fmt.Sprintf("vlan %d and tcp", vlan), func() {
		node.sees(t, red.addr, port{"tcp", 8443}, node.addr)
	})
	if strict := s.mode == nodefacts.ModeStrict; strict != (len(packets) > 0) {
		t.Errorf("%s mode: the node's own connection to the pod makes %d packets on the trunk", s.mode, len(packets))
	}
}

// tagged fails the test unless packets of the pod to the address, and answers,
// are there, all with the VLAN's tag, and none from elsewhere.
func tagged(t *testing.T, packets []capture.Packet, vlan int, e *end, to string) {
	t.Helper()
	if n, m := len(fromTo(packets, to)), len(packets); n < 3 || m < 5 {
		t.Errorf("%d packets on the trunk, %d of them to %s", m, n, to)
	}
	for _, p := range packets {
		if p.VLAN != vlan || p.Source.Addr() != e.addr && p.Dest.Addr() != e.addr {
			t.Errorf("on the trunk: %s > %s with VLAN id %d, want %d and %s at one end", p.Source, p.Dest, p.VLAN, vlan, e.addr)
		}
	}
	if len(packets) > 0 {
		p := packets[0]
		t.Logf("on the trunk: %s > %s %s 802.1Q id=%d from %s", p.Source, p.Dest, p.Protocol, p.VLAN, p.SrcMAC)
	}
}

func fromTo(packets []capture.Packet, to string) []capture.Packet {
	var out []capture.Packet
	for _, p := range packets {
		if p.Dest.Addr().String() == to {
			out = append(out, p)
		}
	}
	return out
}

// trunkLink is the name of the trunk's link on node-a.
func (s *scene) trunkLink() (string, error) {
	trunks, err := s.enis(s.t.Context(), "trunk")
	for _, e := range trunks {
		if e.Host == "node-a" {
			return fmt.Sprint("eth", e.Device), nil
		}
	}
	return "", fmt.Errorf("node-a has no trunk: %w", err)
}

// empty fails the test unless both nodes are as they were, and books and EC2 agree.
func (s *scene) empty(t *testing.T) {
	t.Helper()
	for _, b := range s.base {
		eventually(t, patience, b.same)
		eventually(t, patience, func() error { return b.agrees(t.Context(), nil) })
	}
}

// agrees compares the daemon's books with EC2 and with the pods that live.
func (h *host) agrees(ctx context.Context, live map[string]string) error {
	b, err := h.books(ctx)
	if err != nil {
		return err
	}
	enis, err := h.w.enis(ctx, "branch")
	if err != nil {
		return err
	}
	want, have := map[string]string{}, map[string]string{}
	for _, e := range enis {
		if e.Host == h.name || e.Trunk == "" && e.Tags[trunkTag] == b.GetEni().GetId() {
			want[e.ID] = fmt.Sprintf("VLAN %d of %s %s", e.VLAN, e.Trunk, e.Primary)
		}
	}
	held, ids := map[string]string{}, map[uint32]string{}
	for _, r := range b.GetBranches() {
		id, vlan := r.GetBranch().GetId(), r.GetBranch().GetVlanId()
		have[id] = fmt.Sprintf("VLAN %d of %s %s", vlan, b.GetEni().GetId(), r.GetAddress())
		if other, twice := ids[vlan]; twice {
			return fmt.Errorf("VLAN id %d is that of %s and %s", vlan, other, id)
		}
		ids[vlan] = id
		switch pod := r.GetAttachment().GetContainerId(); {
		case pod != "":
			held[pod] = strings.Join(r.GetGroups(), ",")
		case r.GetState() != "warm" && r.GetState() != "cooling":
			return fmt.Errorf("%s is %s", id, r.GetState())
		}
	}
	if d := diff(want, have); d != "" {
		return fmt.Errorf("branch ENIs of %s (-EC2 +books):\n%s", h.name, d)
	}
	if d := diff(live, held); d != "" {
		return fmt.Errorf("who holds branches of %s (-pods +books):\n%s", h.name, d)
	}
	if b.GetWaiters() > 0 {
		return fmt.Errorf("%d waiters on %s", b.GetWaiters(), h.name)
	}
	return nil
}
