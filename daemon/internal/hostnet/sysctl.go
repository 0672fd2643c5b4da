package hostnet

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// SysctlFile is a file in the state directory with the values that the sysctls had
// before the first change, as {"net/ipv4/ip_forward": "0"}, for uninstall.
const SysctlFile = "sysctl.json"

const (
	procSys   = "/proc/sys"
	ipForward = "net/ipv4/ip_forward"
)

// rpFilter is the sysctl of one link; the kernel uses the larger of it and "all".
func rpFilter(link string) string { return "net/ipv4/conf/" + link + "/rp_filter" }

// readSysctls reads the two that matter; the thread must be in the namespace.
func readSysctls(k kernel, primaryMAC string) (map[string]string, error) {
	paths := []string{ipForward}
	if l, ok := k.byMAC(primaryMAC); ok {
		paths = append(paths, rpFilter(l.Name))
	}
	values := make(map[string]string, len(paths))
	for _, p := range paths {
		value, err := readSysctlAt(p)
		if errors.Is(err, fs.ErrNotExist) && p != ipForward {
			continue // the link went meanwhile
		}
		if err != nil {
			return nil, fmt.Errorf("reading sysctl: %w", err)
		}
		values[p] = value
	}
	return values, nil
}

// isRPFilter tells whether path is that of a link.
func isRPFilter(path string) bool {
	link := strings.TrimSuffix(strings.TrimPrefix(path, "net/ipv4/conf/"), "/rp_filter")
	return link != "" && !strings.Contains(link, "/") && path == rpFilter(link)
}

func readSysctlAt(path string) (string, error) {
	raw, err := os.ReadFile(filepath.Join(procSys, path)) //nolint:gosec // a path of this file
	return strings.TrimSpace(string(raw)), err
}

// rememberSysctl writes the original value of path to the file unless it has one.
func rememberSysctl(dir, path, was string) error {
	if dir == "" {
		return nil
	}
	file := filepath.Join(dir, SysctlFile)
	values := map[string]string{}
	raw, err := os.ReadFile(file) //nolint:gosec // in the daemon's own directory
	if err == nil {
		// A damaged file has lost the originals; what is there now is the best left.
		_ = json.Unmarshal(raw, &values)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remembering sysctl %s: %w", path, err)
	}
	if _, ok := values[path]; ok {
		return nil
	}
	if values == nil { // the file held null
		values = map[string]string{}
	}
	values[path] = was
	if raw, err = json.MarshalIndent(values, "", "  "); err != nil {
		return fmt.Errorf("remembering sysctl %s: %w", path, err)
	}
	tmp := file + ".new" // one writer: Sync holds its lock
	if err = os.WriteFile(tmp, append(raw, '\n'), 0o600); err == nil {
		err = os.Rename(tmp, file)
	}
	if err != nil {
		return fmt.Errorf("remembering sysctl %s: %w", path, err)
	}
	return nil
}
