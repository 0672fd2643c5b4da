package netns

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMain tries on the process's first thread, where main begins: with one
// processor the next goroutine runs there while main waits for it.
func TestMain(m *testing.M) {
	processors := runtime.GOMAXPROCS(1)
	err := stays()
	runtime.GOMAXPROCS(processors)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// stays is an error if a goroutine with a namespace of its own takes the process
// along: it would die with whatever runs in that namespace.
func stays() error {
	if os.Geteuid() != 0 {
		return nil
	}
	before, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return err
	}
	if err := onOwnThread(func() error { return unix.Unshare(unix.CLONE_NEWNET) }); err != nil {
		return err
	}
	now, err := os.Readlink("/proc/self/ns/net")
	if err == nil && now != before {
		err = fmt.Errorf("the process is in %s now, was in %s", now, before)
	}
	return err
}

func TestTheProcessStaysWhereItIs(t *testing.T) {
	if os.Geteuid() == 0 {
		return // TestMain has seen it
	}
	const reason = "needs root: the test makes network namespaces"
	if strings.Contains(os.Getenv("VPCCHAIN_REQUIRE"), "root") {
		t.Fatal(reason)
	}
	t.Skip(reason)
}
