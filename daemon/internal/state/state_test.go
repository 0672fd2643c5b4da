package state

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.etcd.io/bbolt"

	"github.com/vpcchain/vpcchain/daemon/internal/pool"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, path string) *Store {
	t.Helper()
	s, err := Open(path)
	must(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func hold(id, addr string) pool.Allocation {
	return pool.Allocation{
		Attachment: vpcnet.Attachment{Network: "vpc", ContainerID: id, IfName: "eth0"},
		Addr:       netip.MustParseAddr(addr), ENI: "eni-a", Pod: pool.Pod{Namespace: "ns", Name: "pod-" + id, UID: "u"},
		Since: time.Date(2026, 1, 2, 3, 4, 5, 678_901_234, time.UTC),
	}
}

// contents are what the store has, by attachment.
func contents(t *testing.T, s *Store) ([]pool.Allocation, map[netip.Addr]time.Time) {
	t.Helper()
	held, freed, err := s.Load()
	must(t, err)
	slices.SortFunc(held, func(a, b pool.Allocation) int { return strings.Compare(a.Attachment.Alias(), b.Attachment.Alias()) })
	return held, freed
}

func compare(t *testing.T, what string, want, got any) {
	t.Helper()
	if d := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{}), cmpopts.EquateEmpty()); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func TestReopenKeepsEverything(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ipamd.db")
	a, b, c := hold("a", "10.0.0.1"), hold("b", "10.0.0.2"), hold("c", "10.0.0.3")
	at := a.Since.Add(time.Hour)

	s := open(t, path)
	held, freed := contents(t, s)
	compare(t, "a new store's holds", []pool.Allocation{}, held)
	compare(t, "a new store's releases", map[netip.Addr]time.Time{}, freed)
	for _, h := range []pool.Allocation{a, b, c, c} {
		must(t, s.Hold(h))
	}
	must(t, s.Release(at, a))
	must(t, s.Close())

	s = open(t, path)
	held, freed = contents(t, s)
	compare(t, "holds", []pool.Allocation{b, c}, held)
	compare(t, "releases", map[netip.Addr]time.Time{a.Addr: at}, freed)

	// The same attachment again, at another address: the last word counts.
	a.Addr = netip.MustParseAddr("10.0.0.9")
	must(t, s.Hold(a))
	must(t, s.Release(at.Add(time.Second), b, c))
	must(t, s.Close())
	held, freed = contents(t, open(t, path))
	compare(t, "holds", []pool.Allocation{a}, held)
	compare(t, "releases", map[netip.Addr]time.Time{
		netip.MustParseAddr("10.0.0.1"): at, b.Addr: at.Add(time.Second), c.Addr: at.Add(time.Second),
	}, freed)
}

// A daemon that is killed does not close the file: what it had recorded is there.
func TestCopyOfAnOpenFileHasTheHolds(t *testing.T) {
	dir := t.TempDir()
	s := open(t, filepath.Join(dir, "ipamd.db"))
	must(t, s.Hold(hold("a", "10.0.0.1")))
	raw, err := os.ReadFile(filepath.Join(dir, "ipamd.db"))
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "copy.db"), raw, 0o600))
	held, _ := contents(t, open(t, filepath.Join(dir, "copy.db")))
	compare(t, "holds", []pool.Allocation{hold("a", "10.0.0.1")}, held)
}

func TestFileIsForRootAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ipamd.db")
	open(t, path)
	info, err := os.Stat(path)
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %s", info.Mode())
	}
}

func TestSecondOpenerIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ipamd.db")
	s := open(t, path)
	start := time.Now()
	_, err := Open(path)
	if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "another vpc-ipamd") {
		t.Errorf("a second Open: %v", err)
	}
	if took := time.Since(start); took < lockWait/2 || took > 2*lockWait {
		t.Errorf("refused after %s", took)
	}
	must(t, s.Hold(hold("a", "10.0.0.1")))
}

// An upgrade starts the new daemon while the old one is still stopping.
func TestOpenWaitsForTheOldDaemon(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ipamd.db")
	old := open(t, path)
	must(t, old.Hold(hold("a", "10.0.0.1")))
	time.AfterFunc(100*time.Millisecond, func() { _ = old.Close() })
	held, _ := contents(t, open(t, path))
	compare(t, "holds", []pool.Allocation{hold("a", "10.0.0.1")}, held)
}

func TestUnreadableRecord(t *testing.T) {
	for _, tc := range []struct{ bucket, key, value, want string }{
		{heldBucket, "vpc/a/eth0", "{", "vpc/a/eth0"},
		{freedBucket, "10.0.0.300", "", "10.0.0.300"},
		{freedBucket, "10.0.0.3", "yesterday", "10.0.0.3"},
	} {
		t.Run(tc.bucket+" "+tc.key, func(t *testing.T) {
			s := open(t, filepath.Join(t.TempDir(), "ipamd.db"))
			must(t, s.db.Update(func(tx *bbolt.Tx) error { return tx.Bucket([]byte(tc.bucket)).Put([]byte(tc.key), []byte(tc.value)) }))
			if _, _, err := s.Load(); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Load: %v, want an error that names %s", err, tc.want)
			}
		})
	}
}

func TestClosedStoreRecordsNothing(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "ipamd.db"))
	must(t, s.Close())
	a := hold("a", "10.0.0.1")
	if err := s.Hold(a); err == nil || !strings.Contains(err.Error(), "vpc/a/eth0") {
		t.Errorf("Hold after Close: %v", err)
	}
	if err := s.Release(a.Since, a); err == nil {
		t.Error("Release after Close succeeded")
	}
	if _, _, err := s.Load(); err == nil {
		t.Error("Load after Close succeeded")
	}
}
