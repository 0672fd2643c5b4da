// Package vm is for tests that need 802.1Q links, which not every kernel has.
// Their names begin with TestVLAN: `make test` runs all of those in one virtual
// machine with a kernel that has them (tools/vm/run-in-vm.sh), and leaves them
// out everywhere else, so that they count once. The guest sees this machine's
// files, and forgets what a test writes; starting a program takes 57 ms there.
package vm

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// RequireVLAN skips the test where the process cannot make 802.1Q links, and
// fails it there if VPCCHAIN_REQUIRE has the word vlan.
func RequireVLAN(t testing.TB) {
	t.Helper()
	err := Probe()
	if err == nil {
		return
	}
	if strings.Contains(os.Getenv("VPCCHAIN_REQUIRE"), "vlan") { //nolint:forbidigo // of tests, as each test file reads it
		t.Fatalf("802.1Q links are required: %v", err)
		return
	}
	t.Skipf("needs 802.1Q links (run `make test-vlan`): %v", err)
}

// Probe says why this process cannot make an 802.1Q link, or nil. It tries in a
// network namespace of its own.
func Probe() error {
	if os.Geteuid() != 0 {
		return errors.New("not root: network namespaces cannot be made")
	}
	done := make(chan error)
	go func() {
		// Never unlocked: the thread, and the namespace with it, ends here.
		runtime.LockOSThread()
		done <- probe()
	}()
	return <-done
}

func probe() error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("making a network namespace: %w", err)
	}
	parent := netlink.NewVeth(netlink.NewLinkAttrs())
	parent.Name, parent.PeerName = "probe0", "probe1"
	if err := netlink.LinkAdd(parent); err != nil {
		return fmt.Errorf("making a veth: %w", err)
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.ParentIndex = "probe0.1", parent.Attrs().Index
	if err := netlink.LinkAdd(&netlink.Vlan{LinkAttrs: attrs, VlanId: 1, VlanProtocol: netlink.VLAN_PROTOCOL_8021Q}); err != nil {
		return fmt.Errorf("making an 802.1Q link: %w", err)
	}
	return nil
}
