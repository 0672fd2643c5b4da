package state

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vpcchain/vpcchain/daemon/internal/pool"
)

// disk mounts a tmpfs of its own.
func disk(t *testing.T, size string) string {
	t.Helper()
	if os.Getuid() != 0 {
		const reason = "mounting needs root"
		if strings.Contains(os.Getenv("VPCCHAIN_REQUIRE"), "root") {
			t.Fatal(reason)
		}
		t.Skip(reason)
	}
	dir := filepath.Join(t.TempDir(), "disk")
	must(t, os.Mkdir(dir, 0o755))
	must(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size))
	t.Cleanup(func() { must(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	return dir
}

// fill leaves no space; what it returns gives it back.
func fill(t *testing.T, dir string) (free func()) {
	t.Helper()
	path := filepath.Join(dir, "filler")
	f, err := os.Create(path)
	must(t, err)
	for err == nil {
		_, err = f.Write(bytes.Repeat([]byte{1}, 4096))
	}
	must(t, f.Close())
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("filling the disk: %v", err)
	}
	return func() { must(t, os.Remove(path)) }
}

// untilFull holds addresses until the file cannot grow.
func untilFull(t *testing.T, s *Store) (held []pool.Allocation, err error) {
	t.Helper()
	for i := range 2000 {
		h := hold(fmt.Sprintf("%064d", i), netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}).String())
		if err := s.Hold(h); err != nil {
			return held, err
		}
		held = append(held, h)
	}
	t.Fatal("the disk does not become full")
	return nil, nil
}

// With a full disk an ADD fails and says why, a DEL succeeds, and what the DELs
// meant is in the file as soon as there is space, before any other change.
func TestFullDisk(t *testing.T) {
	dir := disk(t, "512k")
	path := filepath.Join(dir, "ipamd.db")
	s := open(t, path)
	free := fill(t, dir)
	held, err := untilFull(t, s)
	for _, word := range []string{"no space left on device", "free space"} {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("Hold on a full disk: %v; want %q", err, word)
		}
	}
	at := time.Now()
	must(t, s.Release(at, held...))
	if err := s.Trouble(); err != nil && !strings.Contains(err.Error(), "free space") {
		t.Errorf("trouble %v names no next step", err)
	}
	// A file that has its buckets opens on the full disk, with all that was answered.
	must(t, s.Close())
	s, err = Open(path)
	must(t, err)
	if _, _, err := s.Load(); err != nil {
		t.Error(err)
	}
	must(t, s.Close())
	free()
	s = open(t, path)
	got, _ := contents(t, s)
	if len(got) != 0 && len(got) != len(held) {
		t.Errorf("%d of %d releases are in the file: not all or none", len(held)-len(got), len(held))
	}
}

// A release that could not be written goes before a hold of the same address.
func TestReleaseOnAFullDiskIsMadeUpFor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ipamd.db")
	s := open(t, path)
	old, next := hold("old", "10.0.0.1"), hold("next", "10.0.0.1")
	must(t, s.Hold(old))
	// What Release leaves behind when its transaction fails.
	s.pending, s.trouble = []gone{{old, time.Now()}}, errors.New("no space left on device")
	if s.Trouble() == nil {
		t.Error("no trouble is told")
	}
	must(t, s.Hold(next))
	if err := s.Trouble(); err != nil {
		t.Errorf("the trouble stays: %v", err)
	}
	held, freed := contents(t, s)
	compare(t, "holds", []pool.Allocation{next}, held)
	if len(freed) != 1 {
		t.Errorf("releases: %v", freed)
	}
	s.pending = []gone{{next, time.Now()}}
	must(t, s.Release(time.Now())) // nothing new: makes up for the old
	held, _ = contents(t, s)
	compare(t, "holds", []pool.Allocation{}, held)
}

// On a read-only directory the start is refused with the reason and what to do.
func TestReadOnlyDirectory(t *testing.T) {
	dir := disk(t, "1m")
	path := filepath.Join(dir, "ipamd.db")
	for _, exists := range []bool{false, true} {
		if exists {
			s := open(t, path)
			must(t, s.Close())
		}
		must(t, unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
		_, err := Open(path)
		for _, word := range []string{path, "read-only file system", "--state-dir"} {
			if err == nil || !strings.Contains(err.Error(), word) {
				t.Errorf("file exists %t: %v; want %q", exists, err, word)
			}
		}
		must(t, unix.Mount("", dir, "", unix.MS_REMOUNT, ""))
	}
}

// The time of a release is the same moment after the wall clock was set,
// forwards or backwards, while the daemon was down; drift is no jump.
func TestClockJumps(t *testing.T) {
	wall, released := time.Unix(2_000_000_000, 0), 10*time.Second
	for _, tc := range []struct {
		name    string
		jump    time.Duration
		later   time.Duration // since the release, on the boot clock
		elapsed time.Duration // wanted
	}{
		{"no jump", 0, 20 * time.Second, 20 * time.Second},
		{"drift", time.Second, 20 * time.Second, 21 * time.Second},
		{"forwards", 24 * time.Hour, 20 * time.Second, 20 * time.Second},
		{"backwards", -24 * time.Hour, 20 * time.Second, 20 * time.Second},
		{"backwards within the rest", -15 * time.Second, 20 * time.Second, 20 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "ipamd.db")
			s := open(t, path)
			s.clock = func() (time.Time, time.Duration) { return wall, released }
			must(t, s.Release(wall, hold("a", "10.0.0.1")))
			must(t, s.Close())
			s = open(t, path)
			now := wall.Add(tc.later + tc.jump)
			s.clock = func() (time.Time, time.Duration) { return now, released + tc.later }
			_, freed := contents(t, s)
			if got := now.Sub(freed[netip.MustParseAddr("10.0.0.1")]); got != tc.elapsed {
				t.Errorf("%s have passed since the release, want %s", got, tc.elapsed)
			}
		})
	}
}

// A stamp of an earlier version has no boot clock; one of the future is now.
func TestOldStamps(t *testing.T) {
	now := time.Unix(2_000_000_000, 0)
	c := clock(func() (time.Time, time.Duration) { return now, time.Hour })
	for _, at := range []time.Time{now.Add(-time.Minute), now.Add(time.Hour)} {
		raw, err := at.MarshalBinary()
		must(t, err)
		want := at
		if at.After(now) {
			want = now
		}
		if got, err := c.time(raw); err != nil || !got.Equal(want) {
			t.Errorf("%s is read as %s, %v", at, got, err)
		}
	}
	if _, err := c.time([]byte("junk of some length and no time in it")); err == nil {
		t.Error("junk is a time")
	}
}

func TestSeed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ipamd.db")
	s := open(t, path)
	wantSeeded := func(want bool) {
		t.Helper()
		if got, err := s.Seeded(); got != want || err != nil {
			t.Errorf("seeded %t, %v; want %t", got, err, want)
		}
	}
	wantSeeded(false)
	a := hold("a", "10.0.0.1")
	a.Pod.Netns, a.Pod.HostVeth = "/run/netns/a", "eni0123"
	at := time.Now().Add(-time.Second).Round(0)
	must(t, s.Seed([]pool.Allocation{a}, map[netip.Addr]time.Time{netip.MustParseAddr("10.0.0.2"): at}))
	must(t, s.Close())
	s = open(t, path)
	wantSeeded(true)
	held, freed := contents(t, s)
	compare(t, "holds", []pool.Allocation{a}, held)
	compare(t, "releases", map[netip.Addr]time.Time{netip.MustParseAddr("10.0.0.2"): at}, freed)

	// A file that was found empty is seeded all the same; one of an earlier version that is in use, too.
	for _, begin := range []func() error{func() error { return s.Seed(nil, nil) }, func() error { return s.Hold(a) }} {
		s = open(t, filepath.Join(t.TempDir(), "other.db"))
		wantSeeded(false)
		must(t, begin())
		wantSeeded(true)
	}
}
