package runtimes

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// earlierDaemon is vpc-ipamd as it was before the last commit that changed it
// or what it shares with the plugins. Without that commit (an archive of the
// sources, a shallow clone) it is a build of the same sources, which still is
// another program that takes over the state file and the socket.
func earlierDaemon(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	binary, source := filepath.Join(t.TempDir(), "vpc-ipamd"), root
	if commit := earlierCommit(root); commit != "" {
		source = t.TempDir()
		archive := exec.CommandContext(t.Context(), "bash", "-c", `set -o pipefail; git -C "$1" archive "$2" | tar -x -C "$3"`, "bash", root, commit, source)
		if out, err := archive.CombinedOutput(); err != nil {
			t.Fatalf("unpacking commit %s: %v: %s", commit, err, out)
		}
		t.Logf("the earlier daemon is of commit %.12s", commit)
	} else {
		t.Log("no earlier commit is here: the earlier daemon is another build of the same sources")
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-tags=grpcnotrace",
		"-ldflags=-s -w -buildid=earlier", "-o", binary, "./daemon/vpc-ipamd")
	build.Dir = source
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the earlier daemon: %v: %s", err, out)
	}
	return binary
}

// earlierCommit is the one before the last that changed the daemon, or empty.
func earlierCommit(root string) string {
	out, err := exec.Command("git", "-C", root, "log", "-1", "--format=%H", "--", "daemon", "pkg", "plugins/vpc-ipam").Output()
	if err != nil {
		return ""
	}
	out, err = exec.Command("git", "-C", root, "rev-parse", "--verify", "-q", strings.TrimSpace(string(out))+"^").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}
