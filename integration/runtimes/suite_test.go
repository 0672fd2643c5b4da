package runtimes

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/integration/lab"
	"github.com/vpcchain/vpcchain/integration/runtimes/image"
)

// network is the name of the network in every conflist of the suite.
const network = "vpc"

// poolEnv lets a freed address be given again after a second.
var poolEnv = []string{"IP_COOLDOWN_PERIOD=1"}

// suite is one runtime on both nodes of a simulation.
type suite struct {
	t    *testing.T
	lab  *lab.Lab
	node map[string]*Node
	on   map[string]Runtime
	addr map[string]netip.Addr
	// daemon is vpc-ipamd by node.
	daemon map[string]*lab.Process
	seen   row
	// cri says that the runtime is told of pods by the CRI, annotations included.
	cri bool
}

// newSuite brings up the VPC, and on the nodes vpc-ipamd and the runtime that
// makeRuntime makes.
func newSuite(t *testing.T, makeRuntime func(*Node) (Runtime, error), nodes ...string) *suite {
	t.Helper()
	needRoot(t)
	l, group := up(t)
	s := &suite{
		t: t, lab: l, node: map[string]*Node{}, on: map[string]Runtime{}, addr: map[string]netip.Addr{},
		daemon: map[string]*lab.Process{}, seen: row{},
	}
	archive := testImage(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range nodes {
		s.startDaemon(t, name, filepath.Join(binDirectory(t), "vpc-ipamd"), poolEnv...)
		n, err := NewNode(t.Context(), l, name, "/"+group+"/"+name, archive, self, "--name", network, "--bandwidth")
		if err != nil {
			t.Fatal(err)
		}
		s.node[name] = n
		r, err := makeRuntime(n)
		if err == nil {
			err = r.Start(limited(t, time.Minute))
		}
		if err != nil {
			t.Fatal(err)
		}
		s.on[name] = r
		t.Cleanup(func() {
			if c, ok := r.(*Containerd); ok && t.Failed() {
				t.Logf("log of containerd on %s:\n%s", name, c.Log())
			}
		})
	}
	s.addr, err = hostAddrs(t, l)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func hostAddrs(t *testing.T, l *lab.Lab) (map[string]netip.Addr, error) {
	t.Helper()
	out := map[string]netip.Addr{}
	for _, name := range []string{"node-a", "node-b"} {
		text, err := l.Exec(t.Context(), name, "ip", "-j", "-4", "addr", "show", "dev", "eth0")
		if err != nil {
			return nil, err
		}
		var links []struct {
			AddrInfo []struct{ Local netip.Addr } `json:"addr_info"`
		}
		if err := json.Unmarshal([]byte(text), &links); err != nil {
			return nil, err
		}
		out[name] = links[0].AddrInfo[0].Local
	}
	return out, nil
}

// testImage is the archive of the image whose one program is bin/probe.
func testImage(t *testing.T) string {
	t.Helper()
	binary, err := os.ReadFile(filepath.Join(binDirectory(t), "probe"))
	if err != nil {
		t.Fatal(err)
	}
	var archive bytes.Buffer
	spec := image.Spec{Name: Image, Arch: runtime.GOARCH, Program: "/probe", Entrypoint: []string{"/probe"}, Command: []string{"pause"}}
	if err := image.Write(&archive, spec, binary); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "image.tar")
	if err := os.WriteFile(file, archive.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// limited is a context for a step that may take so long.
func limited(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// startDaemon starts a vpc-ipamd on a node; the end of the suite stops it.
func (s *suite) startDaemon(t *testing.T, node, binary string, env ...string) {
	t.Helper()
	p, err := s.lab.StartDaemonOf(limited(t, 20*time.Second), node, binary, env...)
	if err != nil {
		t.Fatal(err)
	}
	s.daemon[node] = p
	s.t.Cleanup(func() {
		_ = p.Stop(syscall.SIGKILL)
		if s.t.Failed() {
			s.t.Logf("log of vpc-ipamd on %s:\n%s", node, p.Log())
		}
	})
}

// conflist is what `vpcctl install` wrote on a node.
func (s *suite) conflist(t *testing.T, node string) map[string]any {
	t.Helper()
	raw, err := s.node[node].Exec(t.Context(), "cat", filepath.Join(confDir, "10-vpc.conflist"))
	if err != nil {
		t.Fatal(err)
	}
	var list map[string]any
	if err := json.Unmarshal([]byte(raw), &list); err != nil {
		t.Fatal(err)
	}
	return list
}

// plugin is a plugin's part of a conflist.
func plugin(t *testing.T, list map[string]any, name string) map[string]any {
	t.Helper()
	for _, p := range list["plugins"].([]any) {
		if p := p.(map[string]any); p["type"] == name {
			return p
		}
	}
	t.Fatalf("the conflist has no %s", name)
	return nil
}

func (s *suite) setConflist(t *testing.T, node string, list map[string]any) {
	t.Helper()
	if err := s.node[node].SetConflist(t.Context(), list); err != nil {
		t.Fatal(err)
	}
}

// run makes a pod and waits until its container serves.
func (s *suite) run(t *testing.T, node string, spec PodSpec) Pod {
	t.Helper()
	p, err := s.on[node].Run(limited(t, time.Minute), spec)
	if err == nil {
		err = s.serves(t, node, p)
	}
	if err != nil {
		t.Fatalf("pod %s on %s: %v", spec.Name, node, err)
	}
	return p
}

// serves waits for the program in a container that was started a moment ago.
// Only a refused connection is waited out: it comes from the pod's own kernel,
// so the network is there already and the program is not.
func (s *suite) serves(t *testing.T, node string, p Pod) error {
	t.Helper()
	ctx := limited(t, 20*time.Second)
	return lab.Poll(ctx, func() error {
		_, err := s.lab.Dial(ctx, lab.HostEnd(node), serveAt(p))
		if err != nil && !strings.Contains(err.Error(), "connection refused") {
			return lab.Permanent(err)
		}
		return err
	})
}

func (s *suite) remove(t *testing.T, node string, p Pod) {
	t.Helper()
	if err := s.on[node].Remove(limited(t, time.Minute), p); err != nil {
		t.Errorf("removing pod %s on %s: %v", p.Name, node, err)
	}
}

// reach dials the pod's server from a host.
func (s *suite) reach(t *testing.T, from string, to netip.AddrPort) lab.Seen {
	t.Helper()
	seen, err := s.lab.Dial(limited(t, 20*time.Second), lab.HostEnd(from), to)
	if err != nil {
		t.Errorf("%s to %s: %v", from, to, err)
	}
	return seen
}

// exec runs the image's program in a pod and decodes its answer.
func (s *suite) exec(t *testing.T, node string, p Pod, v any, args ...string) {
	t.Helper()
	out, err := s.on[node].Exec(limited(t, time.Minute), p, args...)
	if err == nil {
		err = json.Unmarshal([]byte(out), v)
	}
	if err != nil {
		t.Fatalf("%q in %s: %v: %s", args, p.Name, err, out)
	}
}

// clean fails the test unless nothing of any pod is left on the node when the
// cooldown is over.
func (s *suite) clean(t *testing.T, node string) {
	t.Helper()
	ctx := limited(t, 15*time.Second)
	err := lab.Poll(ctx, func() error {
		left, err := s.lab.Leftovers(ctx, node)
		if err == nil && len(left) > 0 {
			err = fmt.Errorf("left on %s: %q", node, left)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func (s *suite) calls(t *testing.T, node string, p Pod) []Call {
	t.Helper()
	calls, err := s.node[node].CallsOf(p.ID)
	if err != nil {
		t.Fatal(err)
	}
	return calls
}

func serveAt(p Pod) netip.AddrPort { return netip.AddrPortFrom(p.Addr, ServePort) }
