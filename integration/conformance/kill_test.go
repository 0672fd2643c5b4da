package conformance

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// SIGKILL at each system call of ADD, then DEL: nothing is left, whatever was
// half-made. And SIGKILL at each of DEL, then DEL again.
func TestVethKilledAtEachSyscall(t *testing.T) {
	if _, err := exec.LookPath("strace"); err != nil {
		t.Fatal("strace is missing: make test installs it as root on Debian")
	}
	h, pod := newHost(t), newNetns(t)
	a := add("1.1.0", "c1", pod, fromIPAM(t, "10.20.11.7/32"))
	killed := func(c call, n int) (ended bool) {
		c.wrap = []string{"strace", "-f", "-qq", "-o", "/dev/null", "-e", fmt.Sprintf("inject=all:signal=KILL:when=%d", n)}
		_, err := h.run(c)
		if err != nil && !strings.Contains(err.Error(), "signal: killed") && !strings.Contains(err.Error(), "exit status 137") {
			t.Fatalf("call %d of %s: %v", n, c.verb, err)
		}
		return err == nil
	}
	empty := func(when string) {
		t.Helper()
		if got := strings.TrimSpace(h.state()); got != "" {
			t.Fatalf("%s: left on the host: %s", when, got)
		}
		if got := must(t, "nsenter", "--net=/run/netns/"+pod, "--", "ip", "-o", "link"); strings.Contains(got, "eth0") {
			t.Fatalf("%s: left in the pod: %s", when, got)
		}
	}
	const bound = 3000
	adds := 1
	for ; adds < bound && !killed(a, adds); adds++ {
		h.ok(a.as("DEL", nil))
		empty(fmt.Sprintf("ADD killed at system call %d", adds))
	}
	h.ok(a.as("DEL", nil))
	dels := 1
	for ; dels < bound; dels++ {
		h.ok(a)
		if killed(a.as("DEL", nil), dels) {
			break
		}
		h.ok(a.as("DEL", nil))
		empty(fmt.Sprintf("DEL killed at system call %d", dels))
	}
	empty("in the end")
	t.Logf("killed at %d system calls of ADD and %d of DEL", adds-1, dels-1)
	if adds < 50 || adds == bound || dels < 50 || dels == bound {
		t.Errorf("%d and %d kills: the injection did not work", adds-1, dels-1)
	}
}
