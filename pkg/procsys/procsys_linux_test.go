package procsys

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const forward = "net/ipv4/ip_forward"

// A container's /proc/sys is read-only, and the node's is mounted elsewhere.
func TestReadOnly(t *testing.T) {
	if os.Geteuid() != 0 {
		const reason = "needs root: it makes namespaces"
		if strings.Contains(os.Getenv("VPCCHAIN_REQUIRE"), "root") {
			t.Fatal(reason)
		}
		t.Skip(reason)
	}
	isolate(t)
	dir := t.TempDir()
	own, node := filepath.Join(dir, "own"), filepath.Join(dir, "node")
	for _, root := range []string{own, node} {
		if err := os.MkdirAll(root, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	bind(t, "/proc/sys", own)
	mount(t, "", own, unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY)
	err := write([]string{own, node}, forward, "1")
	if !errors.Is(err, unix.EROFS) || !strings.Contains(err.Error(), "mount the node's") {
		t.Errorf("without the node's: %v", err)
	}
	bind(t, "/proc/sys", node)
	for _, value := range []string{"1", "0"} {
		if err := write([]string{own, node}, forward, value); err != nil {
			t.Fatal(err)
		}
		if raw, err := os.ReadFile("/proc/sys/" + forward); err != nil || strings.TrimSpace(string(raw)) != value {
			t.Errorf("the kernel has %q, %v", raw, err)
		}
	}
	if err := write([]string{own, node}, "net/ipv4/conf/nosuch/rp_filter", "1"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a link that is not there: %v", err)
	}
}

// isolate gives the test a network and a mount namespace of its own, on a thread
// that ends with it.
func isolate(t *testing.T) {
	t.Helper()
	runtime.LockOSThread() // never unlocked: the thread ends with the test's goroutine
	// Without CLONE_FS the thread shares its root with the others and cannot leave their mounts.
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS | unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	// In a chroot "/" is no mount: the way to that of the namespace is to enter it
	// once more, and then back.
	here, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(here) }()
	own, err := unix.Open("/proc/thread-self/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(own) }()
	if err := unix.Setns(own, unix.CLONE_NEWNS); err != nil {
		t.Fatal(err)
	}
	mount(t, "", "/", unix.MS_REC|unix.MS_PRIVATE)
	if err := errors.Join(unix.Fchdir(here), unix.Chroot(".")); err != nil {
		t.Fatal(err)
	}
}

func bind(t *testing.T, source, target string) {
	t.Helper()
	mount(t, source, target, unix.MS_BIND)
	t.Cleanup(func() {
		if err := unix.Unmount(target, unix.MNT_DETACH); err != nil {
			t.Errorf("unmounting %s: %v", target, err)
		}
	})
}

func mount(t *testing.T, source, target string, flags uintptr) {
	t.Helper()
	if err := unix.Mount(source, target, "", flags, ""); err != nil {
		t.Fatalf("mounting %s on %s: %v", source, target, err)
	}
}
