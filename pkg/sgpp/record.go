package sgpp

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const (
	procSys = "/proc/sys"
	// RecordFile has the sysctls' values of before, in the directory of the node
	// facts, while strict mode keeps them changed.
	RecordFile = "sgpp.json"
)

// readSysctls reads those of earlyDemux; a kernel without one has no such demux.
func readSysctls() (map[string]string, error) {
	out := map[string]string{}
	for _, path := range earlyDemux() {
		raw, err := os.ReadFile(filepath.Join(procSys, path)) //nolint:gosec // one of two paths
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading sysctl: %w", err)
		}
		out[path] = strings.TrimSpace(string(raw))
	}
	return out, nil
}

// readRecord is nil without a record. A damaged one stands for the kernel's
// defaults, which are 1 (net/ipv4/af_inet.c).
func readRecord(dir string) (map[string]string, error) {
	raw, err := os.ReadFile(filepath.Join(dir, RecordFile)) //nolint:gosec // in our directory
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // no record: nothing is changed
	}
	if err != nil {
		return nil, fmt.Errorf("reading the record of sysctls: %w", err)
	}
	var saved map[string]string
	if err := json.Unmarshal(raw, &saved); err == nil && saved != nil {
		return saved, nil
	}
	saved = map[string]string{}
	for _, path := range earlyDemux() {
		saved[path] = "1"
	}
	return saved, nil
}

// halfRecord is the record while it is written.
func halfRecord(dir string) string { return filepath.Join(dir, RecordFile+".new") }

// writeRecord replaces the record by rename; the lock makes it the only writer.
func writeRecord(dir string, saved map[string]string) error {
	raw, err := json.Marshal(saved)
	if err != nil {
		return fmt.Errorf("remembering sysctls: %w", err)
	}
	path := filepath.Join(dir, RecordFile)
	if err = os.WriteFile(halfRecord(dir), append(raw, '\n'), 0o600); err == nil {
		err = os.Rename(halfRecord(dir), path)
	}
	if err != nil {
		return fmt.Errorf("remembering sysctls: %w", err)
	}
	return nil
}

func removeRecord(dir string) error {
	if err := os.Remove(filepath.Join(dir, RecordFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forgetting the remembered sysctls: %w", err)
	}
	return nil
}
