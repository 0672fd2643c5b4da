package kube

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// read is what the file at path says; none says nothing.
func read(path string) (told, error) {
	raw, err := os.ReadFile(path) //nolint:gosec // of the daemon's own directory
	if errors.Is(err, fs.ErrNotExist) {
		return told{}, nil
	}
	var t told
	if err == nil {
		err = json.Unmarshal(raw, &t)
	}
	if err != nil {
		return told{}, fmt.Errorf("reading %s: %w", path, err)
	}
	return t, nil
}

// write replaces the file by rename: a daemon that is killed meanwhile finds the
// report of before. The name of the new one is always the same, so that a kill
// leaves one at most.
func write(path string, t told) error {
	raw, err := json.Marshal(t)
	if err == nil {
		if err = os.WriteFile(path+".new", raw, 0o600); err == nil {
			err = os.Rename(path+".new", path)
		}
	}
	if err != nil {
		return fmt.Errorf("keeping what Kubernetes says in %s: %w", filepath.Dir(path), err)
	}
	return nil
}
