package runtimes

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/vpcchain/vpcchain/integration/lab"
)

var update = flag.Bool("update", false, "write what was seen into docs/compatibility.md")

// ownerEnv is the pid of the process that supervises this one.
const ownerEnv = "VPCCHAIN_RUNTIMES_OWNER"

// TestMain runs the tests in a child, so that however they end, by a panic, a
// timeout or a signal, somebody is left to remove what they made.
func TestMain(m *testing.M) {
	switch {
	case Recording():
		os.Exit(RecordMain(os.Getenv))
	case os.Getenv(libcniEnv) != "":
		os.Exit(libcniMain(os.Getenv(libcniEnv)))
	case os.Getenv(ownerEnv) != "":
		flag.Parse()
		os.Exit(m.Run())
	default:
		os.Exit(supervise())
	}
}

func supervise() int {
	if os.Geteuid() == 0 {
		sweepDead()
	}
	self, err := os.Executable()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	// A terminal's Ctrl-C reaches the child as well; this process only has to outlive it.
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT)
	// The processes that a runtime leaves alone on purpose, shims and monitors, come to this one to be collected.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		fmt.Fprintln(os.Stderr, "becoming a subreaper:", err)
		return 1
	}
	child, err := os.StartProcess(self, os.Args, &os.ProcAttr{
		Env:   append(os.Environ(), fmt.Sprintf("%s=%d", ownerEnv, os.Getpid())),
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr},
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	go func() {
		for s := range signals {
			_ = syscall.Kill(child.Pid, s.(syscall.Signal))
		}
	}()
	status := collect(child.Pid)
	if os.Geteuid() == 0 {
		if err := sweep(os.Getpid()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	collect(0) // what sweep has killed
	return status
}

// collect waits for children until one with this pid has ended, and returns its
// exit status; until there are none with pid 0.
func collect(pid int) int {
	for {
		var status syscall.WaitStatus
		ended, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return 1 // no children
		case ended == pid && status.Exited():
			return status.ExitStatus()
		case ended == pid:
			return 1 // killed
		}
	}
}

// simulation and cgroup are the names of what the process owner makes.
func simulation(owner int) string { return fmt.Sprintf("rt%d", owner) }
func cgroup(owner int) string     { return fmt.Sprintf("vpcchain-rt%d", owner) }

// sweep removes what the tests of a process have made and not removed.
func sweep(owner int) error {
	err := DestroyCgroup(cgroup(owner))
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
	name := regexp.MustCompile(`/(?:vpcchain-)?rt(\d+)$`)
	var found []string
	for _, pattern := range []string{"/run/vpcsim/rt*", cgroups + "/vpcchain-rt*", cgroups + "/*/vpcchain-rt*"} {
		dirs, _ := filepath.Glob(pattern) // the patterns are well-formed
		found = append(found, dirs...)
	}
	for _, dir := range found {
		m := name.FindStringSubmatch(dir)
		if m == nil {
			continue
		}
		owner, err := strconv.Atoi(m[1])
		if err != nil || syscall.Kill(owner, 0) == nil {
			continue
		}
		if err := sweep(owner); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
}

func binDirectory(t testing.TB) string {
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
	const reason = "needs root: the runtimes run as root in namespaces"
	if os.Getenv("VPCCHAIN_REQUIRE") == "root" {
		t.Fatal(reason)
	}
	t.Skip(reason)
}

// up starts the simulation of one suite.
func up(t *testing.T) (*lab.Lab, string) {
	t.Helper()
	owner, err := strconv.Atoi(os.Getenv(ownerEnv))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sweep(owner); err != nil {
			t.Error(err)
		}
	})
	l, err := lab.Up(t.Context(), binDirectory(t), simulation(owner), "two-nodes.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return l, cgroup(owner)
}
