package instance

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// home is where this user's simulations are: another user's are not his to see.
func home() string {
	if os.Geteuid() == 0 {
		return Root
	}
	dir := os.Getenv("XDG_RUNTIME_DIR") //nolint:forbidigo // a convention of the desktop, not a setting of ours
	if filepath.IsAbs(dir) {
		return filepath.Join(dir, "vpcsim")
	}
	return filepath.Join("/tmp", "vpcsim-"+strconv.Itoa(os.Geteuid()))
}

// private makes a directory that is this user's, and refuses one that somebody
// else put there: /tmp is everybody's.
func private(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.IsDir() || int(st.Uid) != os.Geteuid() || os.Geteuid() != 0 && info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%s is not a directory that only you can write to: remove it or set XDG_RUNTIME_DIR", dir)
	}
	return nil
}
