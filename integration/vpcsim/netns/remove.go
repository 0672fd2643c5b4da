package netns

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// KillMembers ends every process whose network or mount namespace is bound to
// one of the paths, by pid, and waits until they are gone.
func KillMembers(paths []string, limit time.Duration) error {
	ids := map[string]bool{}
	for _, p := range paths {
		var st unix.Stat_t
		if err := unix.Stat(p, &st); err == nil {
			ids[strconv.FormatUint(st.Ino, 10)] = true
		}
	}
	end := time.Now().Add(limit)
	for {
		left := members(ids)
		if len(left) == 0 {
			return nil
		}
		for _, pid := range left {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		if time.Now().After(end) {
			return fmt.Errorf("processes %v do not die", left)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func members(ids map[string]bool) []int {
	var out []int
	procs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range procs {
		pid, _ := strconv.Atoi(filepath.Base(dir))
		if pid == os.Getpid() || zombie(dir) {
			continue
		}
		for _, kind := range []string{"net", "mnt"} {
			link, err := os.Readlink(filepath.Join(dir, "ns", kind)) // net:[4026531840]
			_, ino, ok := strings.Cut(strings.TrimSuffix(link, "]"), ":[")
			if err == nil && ok && ids[ino] {
				out = append(out, pid)
				break
			}
		}
	}
	return out
}

// zombie: dead, but not yet waited for by a parent that is not ours to command.
func zombie(dir string) bool {
	raw, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return true
	}
	_, after, _ := strings.Cut(string(raw), ") ")
	return strings.HasPrefix(after, "Z")
}

// UnmountBelow detaches every mount at or below dir, the last made first.
func UnmountBelow(dir string) error {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	var points []string
	for sc := bufio.NewScanner(f); sc.Scan(); {
		if fields := strings.Fields(sc.Text()); len(fields) > 4 && (fields[4] == dir || strings.HasPrefix(fields[4], dir+"/")) {
			points = append(points, fields[4])
		}
	}
	for _, p := range slices.Backward(points) {
		if err := unix.Unmount(p, unix.MNT_DETACH); err != nil {
			return fmt.Errorf("unmounting %s: %w", p, err)
		}
	}
	return nil
}
