package engine

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vpcchain/vpcchain/daemon/internal/config"
	"github.com/vpcchain/vpcchain/pkg/nodefacts"
)

// fullDisk is a tmpfs without space; what it returns beside gives the space back.
func fullDisk(t *testing.T) (dir string, free func()) {
	t.Helper()
	if os.Getuid() != 0 {
		const reason = "mounting needs root"
		if strings.Contains(os.Getenv("VPCCHAIN_REQUIRE"), "root") {
			t.Fatal(reason)
		}
		t.Skip(reason)
	}
	dir = filepath.Join(t.TempDir(), "disk")
	if err := errors.Join(os.Mkdir(dir, 0o755), unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 1<<20), 0o600); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("filling the disk: %v", err)
	}
	return dir, func() {
		if err := os.Remove(filler); err != nil {
			t.Error(err)
		}
	}
}

// A full disk keeps the daemon from writing the node facts, not from serving; it
// says so, and writes them as soon as there is space.
func TestStartOnAFullDisk(t *testing.T) {
	dir, free := fullDisk(t)
	inBubble(t, config.Config{WarmIP: 1}, func(t *testing.T, r *rig) {
		r.deps.StateDir = dir
		told := 0
		r.deps.FactsChanged = func() { told++ }
		r.start()
		r.wantStatus(Limited, "no space left on device", "free space in "+dir)
		r.mustAssign("a")
		r.mustRelease("a")
		pass(time.Minute)
		r.wantStatus(Limited, "free space in "+dir)
		free()
		pass(factsEvery + time.Second)
		r.wantStatus(OK)
		if got, err := nodefacts.Read(filepath.Join(dir, "node.json")); err != nil || got.InstanceID != "i-1" || told != 1 {
			t.Errorf("node.json: %+v, %v; told %d times", got, err, told)
		}
	})
}
