package state

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vpcchain/vpcchain/daemon/internal/pool"
)

// file is what a daemon that was killed leaves, with so many allocations.
func file(t *testing.T, n int) (raw []byte, held []pool.Allocation) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ipamd.db")
	s := open(t, path)
	addr := netip.MustParseAddr("10.0.0.1")
	for i := range n {
		held = append(held, hold(fmt.Sprintf("%03d", i), addr.String()))
		must(t, s.Hold(held[i]))
		addr = addr.Next()
	}
	raw, err := os.ReadFile(path)
	must(t, err)
	return raw, held
}

func TestDamagedFile(t *testing.T) {
	raw, _ := file(t, 200)
	page := os.Getpagesize()
	for _, tc := range []struct {
		name string
		raw  []byte
		want string
	}{
		{"text", []byte(strings.Repeat("not a database\n", 1000)), "meta pages"},
		{"short", []byte("x"), "meta pages"},
		{"one page", raw[:page], "too few for its"},
		{"two pages", raw[:2*page], "too few for its"},
		{"half", raw[:len(raw)/2], "too few for its"},
		{"zeros", make([]byte, len(raw)), "meta pages"},
		{"both meta pages torn", slices.Concat(tear(raw[:page]), tear(raw[page:2*page]), raw[2*page:]), "meta pages"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "ipamd.db")
			must(t, os.WriteFile(path, tc.raw, 0o600))
			s := open(t, path)
			for _, want := range []string{path + " is damaged", tc.want, path + ".corrupt"} {
				if !strings.Contains(s.Damaged, want) {
					t.Errorf("%q does not say %q", s.Damaged, want)
				}
			}
			held, freed := contents(t, s)
			if len(held)+len(freed) != 0 {
				t.Errorf("read %v, %v", held, freed)
			}
			must(t, s.Hold(hold("a", "10.0.0.1")))
			must(t, s.Close())
			if aside, err := os.ReadFile(path + ".corrupt"); err != nil || !bytes.Equal(aside, tc.raw) {
				t.Errorf("nobody can look into the damaged file any more: %v", err)
			}
			s = open(t, path)
			held, _ = contents(t, s)
			compare(t, "holds of the new file", []pool.Allocation{hold("a", "10.0.0.1")}, held)
			if s.Damaged != "" {
				t.Errorf("the new file: %s", s.Damaged)
			}
		})
	}
}

// tear changes the page behind its header.
func tear(page []byte) []byte {
	out := slices.Clone(page)
	out[pageHeader+20] ^= 0xff
	return out
}

// Whatever size a file is cut to, Open does not crash, and what it opens without
// a complaint it can read to the end. bbolt writes the meta page last: a file that
// a killed daemon left has all the pages that its meta page names.
func TestEveryLength(t *testing.T) {
	raw, want := file(t, 60)
	for n := 0; n <= len(raw); n += os.Getpagesize() / 4 {
		path := filepath.Join(t.TempDir(), "ipamd.db")
		must(t, os.WriteFile(path, raw[:n], 0o600))
		s, err := Open(path)
		must(t, err)
		held, _ := contents(t, s)
		switch {
		case s.Damaged != "" || n == 0:
			compare(t, fmt.Sprintf("holds of %d bytes", n), []pool.Allocation{}, held)
		default:
			compare(t, fmt.Sprintf("holds of %d bytes", n), want, held)
		}
		if n == len(raw) && s.Damaged != "" {
			t.Errorf("the whole file: %s", s.Damaged)
		}
		must(t, s.Close())
	}
}

// One torn meta page is what a kill may leave: bbolt goes on with the other.
func TestOneTornMetaPage(t *testing.T) {
	raw, held := file(t, 3)
	page := os.Getpagesize()
	for i := range 2 {
		torn := slices.Clone(raw)
		copy(torn[i*page:], tear(raw[i*page:(i+1)*page]))
		path := filepath.Join(t.TempDir(), "ipamd.db")
		must(t, os.WriteFile(path, torn, 0o600))
		s := open(t, path)
		got, _ := contents(t, s)
		if s.Damaged != "" || len(got) < len(held)-1 {
			t.Errorf("page %d torn: %q, %d of %d allocations", i, s.Damaged, len(got), len(held))
		}
	}
}

// A damaged file that somebody has open is his.
func TestLockedFileIsNotMoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ipamd.db")
	open(t, path)
	raw, err := os.ReadFile(path)
	must(t, err)
	binary.NativeEndian.PutUint32(raw[pageHeader:], 0)
	binary.NativeEndian.PutUint32(raw[os.Getpagesize()+pageHeader:], 0)
	must(t, os.WriteFile(path, raw, 0o600))
	if _, err := Open(path); err == nil || !strings.Contains(err.Error(), "another vpc-ipamd") {
		t.Errorf("Open: %v", err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}

func TestOpenThatFailsForAnotherReason(t *testing.T) {
	for _, path := range []string{filepath.Join(t.TempDir(), "no", "such", "dir.db"), t.TempDir()} {
		if _, err := Open(path); err == nil || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "another vpc-ipamd") {
			t.Errorf("Open: %v", err)
		}
	}
}
