// Package netns makes and enters the namespaces of a simulation. They are kept
// by bind mounts, so that no process has to stay alive for them.
package netns

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// onOwnThread runs f on a thread that ends with it: f may change the thread's
// namespaces, and no other goroutine ever runs there. The process's first thread
// will not do: it never ends, and its namespaces are what the process is said to
// be in, by /proc and by whoever ends the processes of a namespace.
func onOwnThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread dies with the goroutine
		if unix.Gettid() != os.Getpid() {
			done <- f()
			return
		}
		done <- onOwnThread(f) // on another one, since this one is taken
		runtime.UnlockOSThread()
	}()
	return <-done
}

func bindSelf(kind, path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDONLY, 0o600)
	if err != nil {
		return err
	}
	_ = f.Close()
	src := fmt.Sprintf("/proc/self/task/%d/ns/%s", unix.Gettid(), kind)
	if err := unix.Mount(src, path, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("binding %s to %s: %w", src, path, err)
	}
	return nil
}

// NewNet makes a network namespace and binds it to path.
func NewNet(path string) error {
	return onOwnThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("making a network namespace: %w", err)
		}
		return bindSelf("net", path)
	})
}

// NewMount makes a mount namespace for the network namespace at net, lets
// setup arrange its mounts, and binds it to path. Nothing of it propagates back.
func NewMount(path, net string, setup func() error) error {
	type step struct{ tid int }
	ready, bound := make(chan step), make(chan error)
	go func() {
		// The mount namespace must be bound from outside, while its thread is alive.
		s, ok := <-ready
		if !ok {
			return
		}
		bound <- bindTask(s.tid, path)
	}()
	return onOwnThread(func() error {
		defer close(ready)
		if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
			return fmt.Errorf("making a mount namespace: %w", err)
		}
		if err := privateRoot(); err != nil {
			return err
		}
		if err := setns(net, unix.CLONE_NEWNET); err != nil {
			return err
		}
		if err := setup(); err != nil {
			return err
		}
		ready <- step{unix.Gettid()}
		return <-bound
	})
}

// privateRoot cuts the thread's new mount namespace off from others. Where this
// process runs in a chroot, the namespace gets the chroot's directory as its
// root: setns leads to the root of a namespace, which would else be the
// machine's and not the one that the user sees.
func privateRoot() error {
	here, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("opening the root: %w", err)
	}
	defer func() { _ = unix.Close(here) }()
	if err := setns(fmt.Sprintf("/proc/self/task/%d/ns/mnt", unix.Gettid()), unix.CLONE_NEWNS); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("making mounts private: %w", err)
	}
	var mine, top unix.Stat_t
	if err := errors.Join(unix.Fstat(here, &mine), unix.Stat("/", &top)); err != nil {
		return fmt.Errorf("looking at the root: %w", err)
	}
	if mine.Dev == top.Dev && mine.Ino == top.Ino {
		return nil
	}
	if err := pivot(here); err != nil {
		return fmt.Errorf("making the chroot's directory the root of a mount namespace: %w", err)
	}
	return nil
}

// pivot makes the directory dir, which need not be a mount point, the root of
// the thread's mount namespace, and lets go of what was there.
func pivot(dir int) error {
	tree, err := unix.OpenTree(dir, "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE|unix.AT_EMPTY_PATH)
	if err != nil {
		return fmt.Errorf("open_tree: %w", err)
	}
	defer func() { _ = unix.Close(tree) }()
	if err := unix.MoveMount(tree, "", dir, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH); err != nil {
		return fmt.Errorf("move_mount: %w", err)
	}
	if err := unix.Fchdir(tree); err != nil {
		return fmt.Errorf("fchdir: %w", err)
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	// The old root lies on top of the new one, at the same place.
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("letting go of the old root: %w", err)
	}
	return unix.Chdir("/")
}

func bindTask(tid int, path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDONLY, 0o600)
	if err != nil {
		return err
	}
	_ = f.Close()
	src := fmt.Sprintf("/proc/self/task/%d/ns/mnt", tid)
	if err := unix.Mount(src, path, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("binding %s to %s: %w", src, path, err)
	}
	return nil
}

func setns(path string, kind int) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if err := unix.Setns(int(f.Fd()), kind); err != nil {
		return fmt.Errorf("entering %s: %w", path, err)
	}
	return nil
}

// Do runs f with its thread in the network namespace at path. Sockets that f
// opens stay in that namespace.
func Do(path string, f func() error) error {
	return onOwnThread(func() error {
		if err := setns(path, unix.CLONE_NEWNET); err != nil {
			return err
		}
		return f()
	})
}

// Inside runs f with its thread in the network and mount namespaces of a host.
// Programs that f starts run there; goroutines that it starts do not.
func Inside(net, mount string, f func() error) error {
	return onOwnThread(func() error {
		// A thread that shares its root and cwd with others cannot change its mount namespace.
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			return fmt.Errorf("leaving the shared file system state: %w", err)
		}
		if err := setns(net, unix.CLONE_NEWNET); err != nil {
			return err
		}
		if err := setns(mount, unix.CLONE_NEWNS); err != nil {
			return err
		}
		return f()
	})
}

// Exec replaces this process by a program running in the network and mount
// namespaces: same pid, same files, so that who waits or kills means the program.
// It returns only on error.
func Exec(net, mount string, argv, env []string) error {
	cwd, err := os.Getwd()
	if err != nil {
		return err
	}
	runtime.LockOSThread()
	// A thread that shares its root and cwd with others cannot change its mount namespace.
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("leaving the shared file system state: %w", err)
	}
	if err := setns(net, unix.CLONE_NEWNET); err != nil {
		return err
	}
	if err := setns(mount, unix.CLONE_NEWNS); err != nil {
		return err
	}
	// The namespace has the same directories, except where it has its own.
	if err := unix.Chdir(cwd); err != nil {
		_ = unix.Chdir("/")
	}
	program, err := exec.LookPath(argv[0])
	if errors.Is(err, exec.ErrDot) {
		program, err = filepath.Abs(program)
	}
	if err != nil {
		return err
	}
	return fmt.Errorf("executing %s: %w", program, unix.Exec(program, argv, env))
}
