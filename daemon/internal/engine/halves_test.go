package engine

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func TestSweepHalves(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "spool"), 0o700); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	names := []string{".node-1.json", ".snat-1", "spool/.put-1", "spool/a.json", "node.json", "snat.json", ".snat-2"}
	for _, name := range names {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		when := now.Add(-2 * halfAge)
		if name == ".snat-2" { // somebody writes it
			when = now
		}
		if err := os.Chtimes(path, when, when); err != nil {
			t.Fatal(err)
		}
	}
	e := &Engine{Deps: Deps{StateDir: dir, Log: slog.New(slog.DiscardHandler)}}
	e.sweepHalves(now)
	for i, name := range names {
		_, err := os.Lstat(filepath.Join(dir, name))
		if gone := slices.Contains([]int{0, 1, 2}, i); gone != os.IsNotExist(err) {
			t.Errorf("%s: gone %t, want %t", name, os.IsNotExist(err), gone)
		}
	}
}
