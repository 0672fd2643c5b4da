package hostnet

import (
	"fmt"
	"runtime"

	"github.com/vishvananda/netns"
)

// inNamespace runs f on a thread that is in network namespace ns. The kernel
// resolves /proc/sys/net and new netlink sockets by the calling thread, so the
// thread is locked. In the daemon it is there already and nothing is switched.
func inNamespace(ns netns.NsHandle, f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cur, err := netns.Get()
	if err != nil {
		return fmt.Errorf("opening the current network namespace: %w", err)
	}
	defer func() { _ = cur.Close() }()
	if cur.Equal(ns) {
		return f()
	}
	if err := netns.Set(ns); err != nil {
		return fmt.Errorf("entering the network namespace: %w", err)
	}
	ferr := f()
	if err := netns.Set(cur); err != nil {
		// One more lock than unlocks: the runtime ends this thread with its
		// goroutine instead of lending it to another one.
		runtime.LockOSThread()
		return fmt.Errorf("leaving the network namespace: %w", err)
	}
	return ferr
}
