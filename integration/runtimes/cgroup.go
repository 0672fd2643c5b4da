package runtimes

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const cgroups = "/sys/fs/cgroup"

// cgroupLimit is how long the processes of a control group may take to die.
const cgroupLimit = 10 * time.Second

// directories are the control groups called name in every hierarchy, of version
// 1 and 2, and all below them, the innermost first.
func directories(name string) ([]string, error) {
	roots, err := filepath.Glob(filepath.Join(cgroups, "*", name))
	if err != nil {
		return nil, err
	}
	roots = append(roots, filepath.Join(cgroups, name))
	var out []string
	for _, root := range roots {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // removed by its runtime meanwhile
			}
			if err == nil && d.IsDir() {
				out = append(out, path)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(out, func(a, b string) int { return len(b) - len(a) })
	return out, nil
}

// DestroyCgroup kills every process of a control group and removes it. The
// processes of pods are found by this alone: they are in namespaces of their own.
func DestroyCgroup(name string) error {
	end := time.Now().Add(cgroupLimit)
	for {
		dirs, err := directories(name)
		if err != nil || len(dirs) == 0 {
			return err
		}
		var left []error
		for _, dir := range dirs {
			kill(dir)
			// EBUSY until the last process has gone.
			if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
				left = append(left, err)
			}
		}
		if len(left) == 0 {
			continue
		}
		if time.Now().After(end) {
			return fmt.Errorf("removing the control group %s: %w", name, errors.Join(left...))
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func kill(dir string) {
	raw, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		return // gone
	}
	for field := range strings.FieldsSeq(string(raw)) {
		if pid, err := strconv.Atoi(field); err == nil && pid > 1 {
			_ = syscall.Kill(pid, syscall.SIGKILL) // ESRCH: gone
		}
	}
}
