package check

import (
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/vpcchain/vpcchain/daemon/internal/branch"
	"github.com/vpcchain/vpcchain/daemon/internal/pool"
	"github.com/vpcchain/vpcchain/daemon/internal/state"
	"github.com/vpcchain/vpcchain/pkg/nodefacts"
	"github.com/vpcchain/vpcchain/pkg/sgpp"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// The branches that are compared while no daemon answers are those that pods had
// by its books, in the node's mode; a spare one is nobody's, and one whose DEL lies
// in the spool nobody's any more.
func TestPromisedWithoutDaemon(t *testing.T) {
	dir := t.TempDir()
	if list, note, err := promised(dir, nil); len(list) > 0 || err != nil || !strings.Contains(note, "not compared") {
		t.Errorf("without books: %v, %q, %v", list, note, err)
	}
	if list, _, err := promised(dir, &Held{Branches: []sgpp.Branch{{VLAN: 9}}}); len(list) != 1 || err != nil {
		t.Errorf("the daemon's own: %v, %v", list, err)
	}
	holder := func(id string) *branch.Holder {
		return &branch.Holder{Attachment: vpcnet.Attachment{Network: "vpc", ContainerID: id, IfName: "eth0"}, Pod: pool.Pod{Namespace: "ns", Name: id}}
	}
	addr, subnet := netip.MustParseAddr("10.0.1.9"), netip.MustParsePrefix("10.0.1.0/24")
	s, err := state.Open(filepath.Join(dir, "ipamd.db"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.PutBranches(
		branch.Branch{Key: "a", ENI: "eni-a", VLAN: 3, MAC: "02:00:00:00:00:03", Addr: addr, Subnet: subnet, Holder: holder("c1")},
		branch.Branch{Key: "b", ENI: "eni-b", VLAN: 4, Addr: addr.Next(), Subnet: subnet, Holder: holder("gone")},
		branch.Branch{Key: "c", ENI: "eni-c", VLAN: 5, Addr: addr.Next().Next(), Subnet: subnet},
	); err != nil {
		t.Fatal(err)
	}
	if list, note, err := promised(dir, nil); len(list) > 0 || err != nil || !strings.Contains(note, state.ErrInUse.Error()) {
		t.Errorf("beside a daemon that is silent: %v, %q, %v", list, note, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := nodefacts.Write(filepath.Join(dir, "node.json"), nodefacts.Facts{VethPrefix: "eni", EnforcingMode: nodefacts.ModeStrict}); err != nil {
		t.Fatal(err)
	}
	want := []sgpp.Branch{{
		Attachment: holder("c1").Attachment, VLAN: 3, MAC: "02:00:00:00:00:03", Addr: addr, Gateway: netip.MustParseAddr("10.0.1.1"),
		HostVeth: vpcnet.HostVethName("eni", "ns", "c1", "c1", "eth0"), Mode: nodefacts.ModeStrict,
	}}
	_, booked, err := state.Peek(filepath.Join(dir, "ipamd.db"))
	if err != nil {
		t.Fatal(err)
	}
	got := inUse(booked, []vpcnet.Attachment{holder("gone").Attachment}, nodefacts.Facts{VethPrefix: "eni", EnforcingMode: nodefacts.ModeStrict})
	if d := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if list, note, err := promised(dir, nil); len(list) != 2 || note != "" || err != nil {
		t.Errorf("with the daemon dead: %v, %q, %v", list, note, err)
	}
}
