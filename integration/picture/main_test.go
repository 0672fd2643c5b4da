// Package picture looks at the daemon's page in a browser: what headless Chromium
// makes of it on a node of the simulation is compared with what vpcctl says, in the
// document and in the pixels of a screenshot.
package picture

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

var (
	binDir = flag.String("bin", "../../bin", "directory of the built programs")
	update = flag.Bool("update", false, "write docs/picture.png")
	shots  = flag.String("shots", "", "directory for the screenshots, to be looked at; they are checked in any case")
)

// limit bounds what a test waits for.
const limit = time.Minute

func simulation() string { return fmt.Sprintf("pic%d", os.Getpid()) }

func needRoot(t *testing.T) {
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

// up starts a simulation for the test and removes it afterwards.
func up(t *testing.T, topology string) *lab.Lab {
	t.Helper()
	needRoot(t)
	needBrowser(t)
	bin, err := filepath.Abs(*binDir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(bin, "vpcsim")); err != nil {
		t.Fatalf("%v: run `make build` first", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	l, err := lab.Up(ctx, bin, simulation(), topology)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Down(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// daemon starts vpc-ipamd on a node and ends it with the test.
func daemon(t *testing.T, l *lab.Lab, node string, env ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	p, err := l.StartDaemon(ctx, node, env...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.Stop(syscall.SIGKILL) // what EC2 has begun under it ends with the simulation
		if t.Failed() {
			t.Logf("log of vpc-ipamd:\n%s", p.Log())
		}
	})
}
