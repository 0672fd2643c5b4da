package cli_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/integration/vpcsim/cli"
)

// helperEnv makes the test binary be vpcsim, so that its server runs with the
// race detector of the test, or a small client on a host of the simulation.
const helperEnv = "VPCSIM_TEST_HELPER"

// limit bounds every wait of a test that passes; nothing takes that long.
const limit = 20 * time.Second

func TestMain(m *testing.M) {
	if os.Getenv(helperEnv) == "" || len(os.Args) < 2 {
		os.Exit(m.Run())
	}
	var err error
	switch args := os.Args[2:]; os.Args[1] {
	case "http":
		err = request(args[0], args[1], args[2:])
	case "udp":
		err = datagram(args[0])
	default:
		os.Exit(cli.Run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	if err != nil {
		fmt.Println("error:", err)
	}
	os.Exit(0)
}

// request prints the status and the body of an answer.
func request(method, url string, headers []string) error {
	r, err := http.NewRequest(method, url, http.NoBody)
	if err != nil {
		return err
	}
	for _, h := range headers {
		key, value, _ := strings.Cut(h, "=")
		r.Header.Set(key, value)
	}
	client := http.Client{Timeout: limit}
	resp, err := client.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	fmt.Printf("%d %s", resp.StatusCode, body)
	return err
}

func datagram(addr string) error {
	c, err := net.Dial("udp4", addr)
	if err != nil {
		return err
	}
	_, err = c.Write([]byte("x"))
	return errors.Join(err, c.Close())
}

func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	const reason = "needs root: the test makes network namespaces"
	if strings.Contains(os.Getenv("VPCCHAIN_REQUIRE"), "root") {
		t.Fatal(reason)
	}
	t.Skip(reason)
}

// sim is a simulation of the test's own.
type sim struct {
	t    *testing.T
	name string
}

var simulations atomic.Int64

func up(t *testing.T) *sim {
	t.Helper()
	s := newSim(t)
	s.must("up")
	return s
}

// newSim names a simulation; whatever happens, the test's end removes it.
func newSim(t *testing.T) *sim {
	t.Helper()
	needRoot(t)
	s := &sim{t, fmt.Sprintf("clitest%d-%d", os.Getpid(), simulations.Add(1))}
	t.Cleanup(func() {
		log, _ := os.ReadFile(s.path("server.log"))
		if bytes.Contains(log, []byte("DATA RACE")) || bytes.Contains(log, []byte("panic")) {
			t.Errorf("log of the server:\n%s", log)
		}
		s.must("down")
		s.gone()
	})
	return s
}

func (s *sim) path(file string) string { return filepath.Join("/run/vpcsim", s.name, file) }

func (s *sim) command(args ...string) *exec.Cmd {
	s.t.Helper()
	self, err := os.Executable()
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.Command(self, append([]string{args[0], "--name", s.name}, args[1:]...)...)
	// Without the pause that the race detector makes at the end of every process.
	cmd.Env = append(os.Environ(), helperEnv+"=1", "GORACE=atexit_sleep_ms=0")
	return cmd
}

// run is a vpcsim command line.
func (s *sim) run(args ...string) (stdout, stderr string, err error) {
	s.t.Helper()
	cmd := s.command(args...)
	var out, errw bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errw
	err = cmd.Run()
	return out.String(), errw.String(), err
}

func (s *sim) must(args ...string) string {
	s.t.Helper()
	out, stderr, err := s.run(args...)
	if err != nil {
		s.t.Fatalf("vpcsim %v: %v: %s%s", args, err, out, stderr)
	}
	return out
}

// fails runs a command line that must end with status 1 and a message about text.
func (s *sim) fails(text string, args ...string) {
	s.t.Helper()
	out, stderr, err := s.run(args...)
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok || exit.ExitCode() != 1 || out != "" || !strings.Contains(stderr, text) {
		s.t.Fatalf("vpcsim %v: %v, stdout %q, stderr %q; want status 1 and %q on stderr", args, err, out, stderr, text)
	}
}

// on runs a program on a host and returns what it prints.
func (s *sim) on(host string, argv ...string) string {
	s.t.Helper()
	return s.must(append([]string{"exec", host, "--"}, argv...)...)
}

// client is a helper of TestMain on a host.
func (s *sim) client(host string, args ...string) string {
	s.t.Helper()
	self, err := os.Executable()
	if err != nil {
		s.t.Fatal(err)
	}
	return s.on(host, append([]string{self}, args...)...)
}

// decode reads what a command prints with --json.
func decode[T any](s *sim, args ...string) (v T) {
	s.t.Helper()
	out := s.must(append(args, "--json")...)
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		s.t.Fatalf("vpcsim %v: %v in %s", args, err, out)
	}
	return v
}

func (s *sim) serverPID() int {
	s.t.Helper()
	raw, err := os.ReadFile(s.path("server.pid"))
	if err != nil {
		s.t.Fatal(err)
	}
	pid, err := strconv.Atoi(string(raw))
	if err != nil {
		s.t.Fatal(err)
	}
	return pid
}

// kill ends the server as a crash does, and waits until it is dead.
func (s *sim) kill() {
	s.t.Helper()
	pid := s.serverPID()
	if got := s.processes(); len(got) != 1 || got[0] != pid {
		s.t.Fatalf("processes of the simulation: %v, want the server %d", got, pid)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		s.t.Fatal(err)
	}
	for end := time.Now().Add(limit); len(s.processes()) > 0; time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("the server %d does not die", pid)
		}
	}
}

// processes lists who carries the simulation's name on the command line.
func (s *sim) processes() (pids []int) {
	s.t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		s.t.Fatal(err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err == nil && bytes.Contains(raw, []byte("\x00"+s.name+"\x00")) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			pids = append(pids, pid)
		}
	}
	return pids
}

// gone: no process, no mount, no file.
func (s *sim) gone() {
	s.t.Helper()
	if got := s.processes(); len(got) > 0 {
		s.t.Errorf("processes are left: %v", got)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		s.t.Fatal(err)
	}
	if s.mentioned(string(mounts)) {
		s.t.Errorf("mounts are left:\n%s", mounts)
	}
	if _, err := os.Lstat(s.path("")); !errors.Is(err, fs.ErrNotExist) {
		s.t.Errorf("the directory is left: %v", err)
	}
}

func (s *sim) mentioned(mounts string) bool {
	return strings.Contains(mounts, "/"+s.name+"/") || strings.Contains(mounts, "/"+s.name+" ")
}
