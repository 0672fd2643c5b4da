package hostnet

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// WantedFile is a file in the state directory with the Desired of the last Sync
// as JSON. It lets a check say what the kernel lacks while no daemon runs.
const WantedFile = "wanted.json"

// Wanted reads the file of dir. The error is fs.ErrNotExist where no Sync ran.
func Wanted(dir string) (Desired, error) {
	var d Desired
	raw, err := os.ReadFile(filepath.Join(dir, WantedFile)) //nolint:gosec // in the daemon's own directory
	if err != nil {
		return d, err
	}
	if err := json.Unmarshal(raw, &d); err != nil {
		return d, fmt.Errorf("parsing %s: %w", WantedFile, err)
	}
	return d, nil
}

// remember replaces the file by rename when d is another than before. A full disk
// is no reason to fail a Sync: the next one writes it.
func (h *Host) remember(d Desired) {
	if h.stateDir == "" {
		return
	}
	raw, err := json.Marshal(d)
	if err != nil || bytes.Equal(raw, h.wanted) {
		return
	}
	tmp := filepath.Join(h.stateDir, WantedFile+".new") // one writer: Sync holds its lock
	if err = os.WriteFile(tmp, raw, 0o600); err == nil {
		err = os.Rename(tmp, filepath.Join(h.stateDir, WantedFile))
	}
	if err != nil {
		_ = os.Remove(tmp) // on a full disk a part of it would take the space that others wait for
		return
	}
	h.wanted = raw
}
