package kubernetes

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

const cgroups = "/sys/fs/cgroup"

// MakeCgroup makes a control group at the top of every hierarchy, for a kubelet
// to keep its pods in: all of them can be found and ended by it.
func MakeCgroup(name string) error {
	entries, err := os.ReadDir(cgroups)
	if err != nil {
		return fmt.Errorf("making the control group %s: %w", name, err)
	}
	roots := []string{}
	for _, e := range entries {
		// What links to a hierarchy is another name for it.
		if _, err := os.Stat(filepath.Join(cgroups, e.Name(), "cgroup.procs")); err == nil && e.IsDir() {
			roots = append(roots, filepath.Join(cgroups, e.Name()))
		}
	}
	if len(roots) == 0 {
		roots = []string{cgroups} // version 2 alone
	}
	for _, root := range roots {
		dir := filepath.Join(root, name)
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) { //nolint:gosec // as the kernel makes them
			return fmt.Errorf("making the control group %s: %w", name, err)
		}
		// Of version 1: a new one has no processor and no memory, and nothing can be put into it.
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			raw, err := os.ReadFile(filepath.Join(root, file)) //nolint:gosec // of the kernel
			if err != nil {
				continue // another hierarchy
			}
			if err := os.WriteFile(filepath.Join(dir, file), raw, 0o600); err != nil {
				return fmt.Errorf("making the control group %s: %w", name, err)
			}
		}
	}
	return nil
}
