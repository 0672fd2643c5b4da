// Package supervise runs the tests of a package in a child process, so that
// however they end, by a panic, a timeout or a signal, somebody is left to
// remove what they made on the machine.
package supervise

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"
)

// ownerEnv is the pid of the process that supervises this one.
const ownerEnv = "VPCCHAIN_TEST_OWNER"

// Owner is the pid that the names of all that the tests make are to have in
// them, or 0 in a process that nobody supervises.
func Owner() (pid int) {
	_, _ = fmt.Sscan(os.Getenv(ownerEnv), &pid) //nolint:forbidigo // of tests alone
	return pid
}

// Run is the body of TestMain. Sweep removes what the tests of an owner have
// made and not removed, and is called when they have ended. The result is the
// exit code.
func Run(m *testing.M, sweep func(owner int) error) int {
	if Owner() != 0 {
		flag.Parse()
		return m.Run()
	}
	code, err := child()
	if serr := sweep(os.Getpid()); serr != nil {
		err = errors.Join(err, fmt.Errorf("cleaning up after the tests: %w", serr))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return max(1, code)
	}
	return code
}

func child() (code int, err error) {
	self, err := os.Executable()
	if err != nil {
		return 1, err
	}
	// A terminal's Ctrl-C reaches the child as well; this process only has to outlive it.
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT)
	defer signal.Stop(signals)
	cmd := exec.Command(self, os.Args[1:]...) //nolint:gosec // itself
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", ownerEnv, os.Getpid()))
	if err := cmd.Start(); err != nil {
		return 1, err
	}
	done := make(chan error)
	go func() { done <- cmd.Wait() }()
	for {
		select {
		case s := <-signals:
			_ = cmd.Process.Signal(s)
		case err := <-done:
			if failed := (*exec.ExitError)(nil); errors.As(err, &failed) {
				return max(1, failed.ExitCode()), nil
			}
			return 0, err
		}
	}
}

// Alive tells whether an owner of before still runs; what a dead one left may be swept.
func Alive(owner int) bool { return syscall.Kill(owner, 0) == nil }
