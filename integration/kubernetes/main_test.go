package kubernetes

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"github.com/vpcchain/vpcchain/integration/runtimes"
	"github.com/vpcchain/vpcchain/integration/supervise"
)

func TestMain(m *testing.M) {
	if supervise.Owner() == 0 && os.Geteuid() == 0 {
		sweepDead()
	}
	os.Exit(supervise.Run(m, sweep))
}

// simulation and cgroup are the names of what the process owner makes.
func simulation(owner int) string { return fmt.Sprintf("k8s%d", owner) }
func cgroup(owner int) string     { return fmt.Sprintf("vpcchain-k8s%d", owner) }

// sweep removes what the tests of a process have made and not removed. What a
// kubelet changes beside that is in the mount namespace of the instance.
func sweep(owner int) error {
	if os.Geteuid() != 0 {
		return nil
	}
	err := runtimes.DestroyCgroup(cgroup(owner))
	dir := filepath.Join("/run/vpcsim", simulation(owner))
	if _, serr := os.Stat(dir); serr != nil {
		return err
	}
	out, derr := exec.Command("../../bin/vpcsim", "down", "--name", simulation(owner)).CombinedOutput() //nolint:gosec // our own
	if derr != nil {
		derr = fmt.Errorf("vpcsim down: %w: %s", derr, out)
	}
	return errors.Join(err, derr)
}

// sweepDead removes what earlier runs left that nobody supervised to their end.
func sweepDead() {
	name := regexp.MustCompile(`k8s(\d+)$`)
	var found []string
	for _, pattern := range []string{"/run/vpcsim/k8s*", cgroups + "/vpcchain-k8s*", cgroups + "/*/vpcchain-k8s*"} {
		dirs, _ := filepath.Glob(pattern) // the patterns are well-formed
		found = append(found, dirs...)
	}
	for _, dir := range found {
		m := name.FindStringSubmatch(dir)
		if m == nil {
			continue
		}
		owner, err := strconv.Atoi(m[1])
		if err != nil || supervise.Alive(owner) {
			continue
		}
		if err := sweep(owner); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
}

// tool is a file that the Makefile has made and names in an environment variable.
func tool(t *testing.T, variable string, file ...string) string {
	t.Helper()
	dir := os.Getenv(variable)
	if dir == "" {
		t.Fatalf("%s is not set: run `make test-kubernetes`, which builds what it names", variable)
	}
	for _, f := range append(file, "") {
		if _, err := os.Stat(filepath.Join(dir, f)); err != nil {
			t.Fatalf("%s: %v: run `make test-kubernetes`, which builds it", variable, err)
		}
	}
	return dir
}
