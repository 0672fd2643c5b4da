package state

import (
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.etcd.io/bbolt"

	"github.com/vpcchain/vpcchain/daemon/internal/branch"
	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/daemon/internal/pool"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

func branchContents(t *testing.T, s *Store) ([]branch.Branch, map[int]time.Time, bool) {
	t.Helper()
	records, vlans, fresh, err := s.Branches()
	must(t, err)
	slices.SortFunc(records, func(a, b branch.Branch) int { return strings.Compare(a.Key, b.Key) })
	return records, vlans, fresh
}

func TestBranchesOutliveTheProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ipamd.db")
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	a := branch.Branch{
		Key: "a", Step: branch.Associating, Spec: eni.CreateSpec{SubnetID: "subnet-1", Groups: []string{"sg-1"}, ClientToken: "a", Type: eni.TypeBranch, Tags: map[string]string{"k": "v"}},
		Kind: branch.KindOf("subnet-1", []string{"sg-1"}), ENI: "eni-a", MAC: "02:00:00:00:00:01", Addr: netip.MustParseAddr("10.0.0.9"),
		Subnet: netip.MustParsePrefix("10.0.0.0/24"), Trunk: "eni-t", VLAN: 7, Refused: 2, Begun: at, Changed: at, Freed: at, Used: true,
	}
	b := branch.Branch{Key: "b", Step: branch.Ready, VLAN: 120, Association: "assoc", Begun: at, Changed: at, Freed: at, Holder: &branch.Holder{
		Attachment: vpcnet.Attachment{Network: "vpc", ContainerID: "c", IfName: "eth0"}, Pod: pool.Pod{Namespace: "ns", Name: "p", Netns: "/run/netns/x"}, Since: at,
	}}
	announced := branch.Branch{Key: "announced", Announced: true, VLAN: 4094, Freed: at}

	s := open(t, path)
	records, vlans, fresh := branchContents(t, s)
	if len(records)+len(vlans) > 0 || !fresh {
		t.Errorf("a new store: %v, %v, fresh %v", records, vlans, fresh)
	}
	must(t, s.PutBranches(a, b, announced, branch.Branch{Key: "c", VLAN: 9, Freed: at}))
	if _, _, fresh := branchContents(t, s); !fresh {
		t.Error("the books are not complete because of a record")
	}
	must(t, s.BranchesComplete())
	must(t, s.DropBranches(at.Add(time.Hour), branch.Branch{Key: "c", VLAN: 9}, announced, branch.Branch{Key: "no such"}))
	must(t, s.Close())

	s = open(t, path)
	records, vlans, fresh = branchContents(t, s)
	compareBranches(t, []branch.Branch{a, b}, records)
	compare(t, "VLAN ids", map[int]time.Time{9: at.Add(time.Hour)}, vlans)
	if fresh {
		t.Error("complete books are new")
	}
	a.Step = branch.Ready
	must(t, s.PutBranches(a))
	records, _, _ = branchContents(t, s)
	compareBranches(t, []branch.Branch{a, b}, records)
}

func compareBranches(t *testing.T, want, got []branch.Branch) {
	t.Helper()
	if d := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}), cmpopts.IgnoreUnexported(branch.Branch{})); d != "" {
		t.Errorf("records (-want +got):\n%s", d)
	}
}

// A wall clock that is set makes no branch rest shorter or longer.
func TestBranchRestsByTheBootClock(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "ipamd.db"))
	wall, boot := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), time.Hour
	s.clock = func() (time.Time, time.Duration) { return wall, boot }
	must(t, s.PutBranches(branch.Branch{Key: "a", Freed: wall}))
	must(t, s.DropBranches(wall, branch.Branch{Key: "b", VLAN: 3}))
	wall, boot = wall.Add(24*time.Hour), boot+10*time.Second
	records, vlans, _ := branchContents(t, s)
	if rested := wall.Sub(records[0].Freed); rested != 10*time.Second {
		t.Errorf("the branch has rested for %v", rested)
	}
	if rested := wall.Sub(vlans[3]); rested != 10*time.Second {
		t.Errorf("the VLAN id has rested for %v", rested)
	}
}

func TestUnreadableBranch(t *testing.T) {
	for _, tc := range []struct{ bucket, key, value, want string }{
		{branchBucket, "key-1", "{", "key-1"},
		{branchBucket, "key-2", `{"stamp":"AA=="}`, "key-2"},
		{vlanBucket, "x", "", "VLAN id 78"},
	} {
		s := open(t, filepath.Join(t.TempDir(), "ipamd.db"))
		must(t, s.PutBranches())
		must(t, s.DropBranches(time.Now()))
		must(t, s.db.Update(func(tx *bbolt.Tx) error { return tx.Bucket([]byte(tc.bucket)).Put([]byte(tc.key), []byte(tc.value)) }))
		if _, _, _, err := s.Branches(); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", tc.bucket, err)
		}
	}
	s := open(t, filepath.Join(t.TempDir(), "ipamd.db"))
	must(t, s.Close())
	if s.PutBranches(branch.Branch{Key: "a"}) == nil || s.DropBranches(time.Now()) == nil || s.BranchesComplete() == nil {
		t.Error("a closed store records branches")
	}
}
