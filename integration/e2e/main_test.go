// Package e2e runs the whole chain for real: the vpcsim, vpc-ipamd, cnitool and
// plugin binaries, real namespaces, real packets. Each test leaves its node as
// it found it; one simulation serves all of them.
package e2e

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/integration/lab"
)

// helperEnv makes the test binary, run on an instance, act as a libcni caller
// instead of running tests; see helper_test.go.
const helperEnv = "VPCCHAIN_E2E_HELPER"

func TestMain(m *testing.M) {
	if verb := os.Getenv(helperEnv); verb != "" {
		os.Exit(helper(verb))
	}
	flag.Parse()
	os.Exit(m.Run())
}

// binDir is the directory of the built binaries.
func binDir(t testing.TB) string {
	t.Helper()
	dir, err := filepath.Abs("../../bin")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "vpcsim")); err != nil {
		t.Fatalf("%v: run `make build` first", err)
	}
	return dir
}

func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	const reason = "needs root: the suite makes network namespaces"
	if strings.Contains(os.Getenv("VPCCHAIN_REQUIRE"), "root") {
		t.Fatal(reason)
	}
	t.Skip(reason)
}

// up starts a simulation of its own for the test and removes it afterwards.
func up(t testing.TB, topology string) *lab.Lab {
	t.Helper()
	needRoot(t)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	// Short: link names in the simulation derive from it. Distinct per test and process.
	name := fmt.Sprintf("e2e%d", os.Getpid())
	l, err := lab.Up(ctx, binDir(t), name, topology)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Down(); err != nil {
			t.Errorf("removing the simulation: %v", err)
		}
	})
	return l
}

// daemon starts vpc-ipamd on node; the test's end stops it.
func daemon(t testing.TB, l *lab.Lab, node string, env ...string) *lab.Process {
	t.Helper()
	p, err := l.StartDaemon(t.Context(), node, env...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.Stop(syscall.SIGKILL)
		if t.Failed() {
			t.Logf("log of vpc-ipamd on %s:\n%s", node, p.Log())
		}
	})
	return p
}

func conflist(t testing.TB, l *lab.Lab, node, file string) {
	t.Helper()
	path, err := filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.InstallConflist(t.Context(), node, path); err != nil {
		t.Fatal(err)
	}
}

// clean fails the test unless nothing of any pod is left on node within the cooldown.
func clean(t testing.TB, l *lab.Lab, node string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	err := lab.Poll(ctx, func() error {
		left, err := l.Leftovers(ctx, node)
		if err == nil && len(left) > 0 {
			err = fmt.Errorf("left on %s: %q", node, left)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// chainPath is the shipped conflist, absolute.
func chainPath(t testing.TB) string {
	t.Helper()
	path, err := filepath.Abs(chain)
	if err != nil {
		t.Fatal(err)
	}
	return path
}
