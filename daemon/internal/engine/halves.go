package engine

import (
	"errors"
	"os"
	"path/filepath"
	"time"
)

// halfAge is how old a file under a passing name is when nobody writes it any
// more: what is written takes microseconds, also on a machine that swaps.
const halfAge = time.Minute

// sweepHalves removes what processes that were killed have left half written in
// the state directory: node facts, vpc-snat's records, spooled releases. Each
// has a name of its own, so that they would gather.
func (e *Engine) sweepHalves(now time.Time) {
	for _, pattern := range []string{".node-*.json", ".snat-*", "spool/.put-*"} {
		names, err := filepath.Glob(filepath.Join(e.StateDir, pattern))
		for _, name := range names {
			info, serr := os.Lstat(name)
			if serr == nil && info.Mode().IsRegular() && now.Sub(info.ModTime()) > halfAge {
				err = errors.Join(err, os.Remove(name))
			}
		}
		if err != nil {
			e.Log.Warn("removing half-written files", "error", err)
		}
	}
}
