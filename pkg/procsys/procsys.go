// Package procsys writes sysctls, from a container as well.
package procsys

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// NodeRoot is where a container that is to write the node's sysctls has the
// node's /proc/sys, or a part of it, mounted. Its own is read-only unless it is
// privileged, and no runtime mounts anything below /proc.
const NodeRoot = "/host/proc/sys"

// Write gives the sysctl at path, such as net/ipv4/ip_forward, the value. Those
// below net are of the network namespace of the calling thread and need
// CAP_NET_ADMIN there. The error is fs.ErrNotExist if the kernel has none.
func Write(path, value string) error { return write([]string{"/proc/sys", NodeRoot}, path, value) }

// write tries the roots in turn, as long as they are read-only.
func write(roots []string, path, value string) error {
	var err error
	for i, root := range roots {
		// Never created: a directory that stands for a root may be a plain one.
		var f *os.File
		f, next := os.OpenFile(filepath.Join(root, path), os.O_WRONLY, 0) //nolint:gosec // the callers name constants and links
		if next == nil {
			_, next = f.WriteString(value)
			next = errors.Join(next, f.Close())
		}
		if i > 0 && errors.Is(next, os.ErrNotExist) {
			return fmt.Errorf("writing sysctl: %w: mount the node's /proc/sys/net at %s/net", err, NodeRoot)
		}
		if err = next; !errors.Is(err, unix.EROFS) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("writing sysctl: %w", err)
	}
	return nil
}
