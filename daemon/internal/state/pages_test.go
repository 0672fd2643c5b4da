package state

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/intent"
	"github.com/vpcchain/vpcchain/daemon/internal/pool"
)

// busyFile is a file with branch pages, a bucket on pages of its own, and two
// that lie inside the root's.
func busyFile(t *testing.T) (raw []byte, held []pool.Allocation) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ipamd.db")
	s := open(t, path)
	must(t, s.Seed(nil, map[netip.Addr]time.Time{netip.MustParseAddr("10.0.9.9"): time.Unix(1_700_000_000, 0)}))
	addr := netip.MustParseAddr("10.0.0.1")
	for i := range 40 {
		a := hold(fmt.Sprintf("%03d", i), addr.String())
		must(t, s.Hold(a))
		if i%10 == 3 {
			must(t, s.Release(a.Since, a))
		} else {
			held = append(held, a)
		}
		addr = addr.Next()
	}
	must(t, s.Intend(intent.Intent{ID: "i1", ENI: "eni-1", Time: time.Unix(1_700_000_000, 0)}))
	must(t, s.Close())
	raw, err := os.ReadFile(path)
	must(t, err)
	return raw, held
}

// Whichever byte of whichever page is wrong, the daemon starts: with exactly what
// was in the file, or empty, so that it is looked for on the node.
func TestDamageOnEveryPage(t *testing.T) {
	raw, want := busyFile(t)
	page, path := os.Getpagesize(), filepath.Join(t.TempDir(), "ipamd.db")
	damaged, read := 0, 0
	try := func(what string, spoilt []byte) {
		t.Helper()
		must(t, os.WriteFile(path, spoilt, 0o600))
		s, err := Open(path)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		held, _ := contents(t, s)
		if s.Damaged != "" {
			damaged++
			compare(t, what+": holds of the new file", []pool.Allocation{}, held)
		} else {
			read++
			compare(t, what+": holds", want, held)
		}
		must(t, s.Hold(hold("new", "10.0.7.7")))
		must(t, s.Close())
	}
	for p := 0; p*page < len(raw); p++ {
		for at := range page {
			if at >= 48 && at%127 != 0 {
				continue // headers and first elements in full, a part of the rest
			}
			spoilt := slices.Clone(raw)
			spoilt[p*page+at] ^= []byte{0xff, 0x01, 0x80}[at%3]
			try(fmt.Sprintf("byte %d of page %d", at, p), spoilt)
		}
		for name, fill := range map[string]byte{"zeros": 0, "ones": 0xff} {
			spoilt := slices.Clone(raw)
			copy(spoilt[p*page:], slices.Repeat([]byte{fill}, page))
			try(fmt.Sprintf("page %d of %s", p, name), spoilt)
		}
	}
	t.Logf("%d files: %d damaged, %d read", damaged+read, damaged, read)
	if damaged < 100 || read < 100 {
		t.Errorf("%d damaged and %d read files prove nothing", damaged, read)
	}
}

// A file that a daemon of an earlier version wrote has no checksums; one of
// today's is read by it.
func TestRecordsOfOtherVersions(t *testing.T) {
	a := hold("a", "10.0.0.1")
	sealed, err := seal("key", a)
	must(t, err)
	if !strings.HasPrefix(string(sealed), `{"sum":`) || !strings.Contains(string(sealed), `,"attachment":{`) {
		t.Errorf("sealed: %s", sealed)
	}
	_, plain, _ := strings.Cut(string(sealed), ",")
	for _, raw := range []string{string(sealed), "{" + plain} {
		var got pool.Allocation
		must(t, unseal("key", []byte(raw), &got))
		compare(t, raw, a, got)
	}
	for _, raw := range []string{strings.Replace(string(sealed), "10.0.0.1", "10.0.0.3", 1), `{"sum":`, `{"sum":1`, `{"sum":x,}`} {
		if err := unseal("key", []byte(raw), &pool.Allocation{}); err == nil {
			t.Errorf("%s is read", raw)
		}
	}
	if err := unseal("other", sealed, &pool.Allocation{}); err == nil {
		t.Error("a record is read under another's key")
	}
}

// Open must not crash on any file that bears a good meta page.
func FuzzOpen(f *testing.F) {
	f.Add(uint32(3*4096), []byte{1, 2, 3})
	f.Add(uint32(4*4096+10), []byte{0xff, 0xff})
	f.Fuzz(func(t *testing.T, at uint32, patch []byte) {
		raw, want := busyFile(t)
		page := os.Getpagesize()
		copy(raw[2*page+int(at)%(len(raw)-2*page):], patch)
		path := filepath.Join(t.TempDir(), "ipamd.db")
		must(t, os.WriteFile(path, raw, 0o600))
		s := open(t, path)
		held, _ := contents(t, s)
		if s.Damaged == "" {
			compare(t, "holds", want, held)
		}
	})
}
