package state

import (
	"path/filepath"
	"testing"
	"time"
)

// Drains outlast the daemon, and are none where nobody asked for one.
func TestDrains(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ipamd.db")
	s, err := Open(path)
	must(t, err)
	draining := func(want map[string]time.Time) {
		t.Helper()
		got, err := s.Draining()
		must(t, err)
		compare(t, "drains", want, got)
	}
	draining(map[string]time.Time{})
	must(t, s.Undrain("eni-0"))
	at := time.Now().Add(-time.Minute).Round(0)
	must(t, s.Drain("eni-1", at))
	must(t, s.Drain("eni-2", at))
	must(t, s.Close())
	s, err = Open(path)
	must(t, err)
	draining(map[string]time.Time{"eni-1": at, "eni-2": at})
	must(t, s.Undrain("eni-1"))
	draining(map[string]time.Time{"eni-2": at})
	must(t, s.Close())
}
