package cli_test

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vpcchain/vpcchain/integration/vpcsim/ec2"
	"github.com/vpcchain/vpcchain/integration/vpcsim/fabric"
	"github.com/vpcchain/vpcchain/integration/vpcsim/topology"
)

const imds = "http://169.254.169.254/latest/"

// ec2API is where the environment of a host says that EC2 is.
func (s *sim) ec2API(host string) string {
	s.t.Helper()
	return strings.TrimSpace(s.on(host, "printenv", "AWS_ENDPOINT_URL_EC2"))
}

func TestHostsAreSeparate(t *testing.T) {
	t.Parallel()
	one, two := up(t), up(t)
	one.fails("exists", "up")

	const marker = "/run/clitest-marker"
	one.on("node-a", "touch", marker)
	if got := one.on("node-a", "ls", marker); strings.TrimSpace(got) != marker {
		t.Errorf("node-a does not see its own %s: %q", marker, got)
	}
	for _, other := range []struct {
		sim  *sim
		host string
	}{{one, "node-b"}, {two, "node-a"}} {
		if got := other.sim.on(other.host, "ls", "/run"); strings.Contains(got, filepath.Base(marker)) {
			t.Errorf("%s of %s sees the /run of node-a of %s", other.host, other.sim.name, one.name)
		}
	}
	if _, err := os.Stat(marker); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the machine sees the /run of a host: %v", err)
	}
	if diff := cmp.Diff([]string{"docker0", "eth0", "lo"}, strings.Fields(one.on("node-a", "ls", "/sys/class/net"))); diff != "" {
		t.Errorf("links in the /sys of node-a (-want +got):\n%s", diff)
	}
	one.fails(`no host "node-z"`, "exec", "node-z", "--", "true")
	if _, _, err := one.run("exec", "node-a", "--", "sh", "-c", "exit 7"); exitCode(err) != 7 {
		t.Errorf("exec ends with %v, want the program's status 7", err)
	}
}

func TestUpRefusesBadTopology(t *testing.T) {
	t.Parallel()
	s := newSim(t)
	file := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(file, []byte("vpc: {cidrs: [10.20.0.1/16]}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.fails("10.20.0.1/16 is not an IPv4 CIDR", "up", "-f", file)
	s.gone()
	s.fails("is it up?", "calls")
}

func exitCode(err error) int {
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		return e.ExitCode()
	}
	return -1
}

func TestMetadataNeedsToken(t *testing.T) {
	t.Parallel()
	s := up(t)
	if got := s.client("node-a", "http", "GET", imds+"meta-data/local-ipv4"); !strings.HasPrefix(got, "401 ") {
		t.Errorf("meta-data without a token: %q, want 401", got)
	}
	if got := s.client("node-a", "http", "GET", imds+"meta-data/local-ipv4", "X-aws-ec2-metadata-token=guess"); !strings.HasPrefix(got, "401 ") {
		t.Errorf("meta-data with a token that was never handed out: %q, want 401", got)
	}
	for host, want := range map[string]string{"node-a": "10.20.11.162", "node-b": "10.20.12.45"} {
		token, ok := strings.CutPrefix(s.client(host, "http", "PUT", imds+"api/token", "X-aws-ec2-metadata-token-ttl-seconds=60"), "200 ")
		if !ok || token == "" {
			t.Fatalf("no token for %s: %q", host, token)
		}
		if got := s.client(host, "http", "GET", imds+"meta-data/local-ipv4", "X-aws-ec2-metadata-token="+token); got != "200 "+want {
			t.Errorf("local-ipv4 of %s: %q, want %q", host, got, "200 "+want)
		}
	}
	if got := s.client("endpoint", "http", "PUT", imds+"api/token", "X-aws-ec2-metadata-token-ttl-seconds=60"); !strings.HasPrefix(got, "403 ") {
		t.Errorf("IMDS answers a host that is no instance: %q, want 403", got)
	}
}

func TestDownAfterCrash(t *testing.T) {
	t.Parallel()
	crashed, other := up(t), up(t)
	// A program of a host, and one that has left the host's network for a pod's.
	var programs []*exec.Cmd
	for _, argv := range [][]string{{"sleep", "1000"}, {"unshare", "--net", "sleep", "1000"}} {
		cmd := crashed.command(append([]string{"exec", "node-a", "--"}, argv...)...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		programs = append(programs, cmd)
		crashed.becomes(cmd.Process.Pid, "sleep")
	}
	crashed.kill()
	crashed.fails("is it up?", "topology")
	crashed.fails("has crashed", "up")
	crashed.must("down")
	crashed.gone()
	for _, cmd := range programs {
		err := cmd.Wait()
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Errorf("the program %v ended with %v, want SIGKILL", cmd.Args, err)
		}
	}

	// The other started later, with copies of the machine's mounts: it must neither
	// keep the namespaces alive nor suffer.
	if mounts := other.on("node-a", "cat", "/proc/self/mountinfo"); crashed.mentioned(mounts) {
		t.Errorf("a host of %s keeps mounts of %s:\n%s", other.name, crashed.name, mounts)
	}
	if got := decode[struct{ Topology topology.Topology }](other, "topology"); len(got.Topology.Instances) != 2 {
		t.Errorf("the other simulation has %d instances, want 2", len(got.Topology.Instances))
	}

	crashed.must("down")
	crashed.must("up")
	crashed.on("node-a", "true")
}

// becomes waits until the process runs the program: before that it may not yet
// be in its namespaces.
func (s *sim) becomes(pid int, program string) {
	s.t.Helper()
	for end := time.Now().Add(limit); ; time.Sleep(2 * time.Millisecond) {
		raw, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "comm"))
		if err == nil && strings.TrimSpace(string(raw)) == program {
			return
		}
		if time.Now().After(end) {
			s.t.Fatalf("process %d is %q (%v), want %s", pid, raw, err, program)
		}
	}
}

func TestDrops(t *testing.T) {
	t.Parallel()
	s := up(t)
	if got := s.must("drops", "--json"); strings.TrimSpace(got) != "[]" {
		t.Errorf("drops of a new simulation: %s, want []", got)
	}
	var got []fabric.Refused
	for end := time.Now().Add(limit); len(got) == 0; {
		// Again each time: the kernel may lose what is sent while links come up.
		s.client("node-a", "udp", "10.20.11.77:5353")
		if got = decode[[]fabric.Refused](s, "drops"); time.Now().After(end) {
			t.Fatal("the packet to nobody is not on record")
		}
	}
	d := got[0]
	text := strings.Join([]string{d.Host, d.Protocol, d.Source.String(), d.Dest.String(), strconv.Itoa(d.Port)}, " ")
	if want := "node-a udp 10.20.11.162 10.20.11.77 5353"; len(got) != 1 || d.Packets < 1 || text != want || !strings.HasPrefix(d.Reason, "no such address") {
		t.Errorf("drops: %+v, want one of %s, no such address", got, want)
	}
	if out := s.must("drops", "--reset"); !strings.Contains(out, "10.20.11.77:5353") || !strings.Contains(out, d.ENI) {
		t.Errorf("the table of drops has no row of the packet:\n%s", out)
	}
	if got := decode[[]fabric.Refused](s, "drops"); len(got) != 0 {
		t.Errorf("drops after --reset: %+v", got)
	}
}

func TestCallsAndFaults(t *testing.T) {
	t.Parallel()
	s := up(t)
	api := s.ec2API("node-a")
	call := func(action string) string {
		t.Helper()
		return s.client("node-a", "http", "POST", api+"/?Action="+action)
	}
	s.must("fault", "DescribeVpcs", "--error", "RequestLimitExceeded", "--count", "1")
	if got := call("DescribeVpcs"); !strings.HasPrefix(got, "503 ") || !strings.Contains(got, "<Code>RequestLimitExceeded</Code>") {
		t.Errorf("a call with a fault: %q", got)
	}
	if got := call("DescribeVpcs"); !strings.HasPrefix(got, "200 ") {
		t.Errorf("the call after the last faulty one: %q", got)
	}

	s.must("fault", "DescribeSubnets", "--lost")
	if got := call("DescribeSubnets"); !strings.HasPrefix(got, "error: ") {
		t.Errorf("a call whose answer is lost: %q", got)
	}
	const latency = 150 * time.Millisecond
	s.must("fault", "DescribeInstances", "--latency", latency.String())
	want := []ec2.Fault{{Action: "DescribeInstances", Latency: latency}, {Action: "DescribeSubnets", Lost: true}}
	if diff := cmp.Diff(want, decode[[]ec2.Fault](s, "fault")); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
	start := time.Now()
	if got := call("DescribeInstances"); !strings.HasPrefix(got, "200 ") || time.Since(start) < latency {
		t.Errorf("a slow call took %s: %q", time.Since(start), got)
	}
	s.must("fault", "DescribeInstances")
	s.must("fault", "DescribeSubnets")
	if got := decode[[]ec2.Fault](s, "fault"); len(got) != 0 {
		t.Errorf("faults after clearing: %+v", got)
	}

	calls := []ec2.Call{
		{Action: "DescribeInstances", Outcome: ec2.OK, Count: 1},
		{Action: "DescribeSubnets", Outcome: "lost", Count: 1},
		{Action: "DescribeVpcs", Outcome: "RequestLimitExceeded", Count: 1},
		{Action: "DescribeVpcs", Outcome: ec2.OK, Count: 1},
	}
	if diff := cmp.Diff(calls, decode[[]ec2.Call](s, "calls", "--reset")); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	if got := decode[[]ec2.Call](s, "calls"); len(got) != 0 {
		t.Errorf("calls after --reset: %+v", got)
	}
}
