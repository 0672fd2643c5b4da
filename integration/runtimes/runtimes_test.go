package runtimes

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vpcchain/vpcchain/integration/vm"
)

// containerd24 is where `make test-runtimes` puts containerd 2.4.
func containerd24(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("VPCCHAIN_CONTAINERD24")
	if _, err := os.Stat(filepath.Join(dir, "containerd")); dir == "" || err != nil {
		t.Fatalf("VPCCHAIN_CONTAINERD24=%q: no containerd there: run `make test-runtimes`, which builds it", dir)
	}
	return dir
}

// versioned is a runtime that tells its name and version.
type versioned interface {
	Version(ctx context.Context) (string, error)
}

func TestContainerd16(t *testing.T) {
	s := newSuite(t, func(n *Node) (Runtime, error) { return NewContainerd(n, Containerd16("/usr/bin")) }, "node-a", "node-b")
	s.cri = true
	if name := s.version(t); !strings.HasPrefix(name, "containerd 1.6.") {
		t.Fatalf("/usr/bin/containerd is %s: this suite is about the one of Debian 12, 1.6", name)
	}
	s.everything(t)
}

func TestContainerd24(t *testing.T) {
	s := newSuite(t, func(n *Node) (Runtime, error) { return NewContainerd(n, Containerd24(containerd24(t))) }, "node-a", "node-b")
	s.cri = true
	s.everything(t)
}

// A pod's own security groups, whole, in the kernel that has what they need.
func TestVLANContainerd24(t *testing.T) {
	vm.RequireVLAN(t)
	s := newSuite(t, func(n *Node) (Runtime, error) { return NewContainerd(n, Containerd24(containerd24(t))) }, groupsNode)
	s.testSecurityGroups(t)
}

func TestPodman(t *testing.T) {
	s := newSuite(t, func(n *Node) (Runtime, error) { return NewPodman(n, network) }, "node-a", "node-b")
	s.everything(t)
}

// everything runs the cases one after the other, each on the nodes as it finds
// them, and then tells what was seen. With a part of them alone there is nothing to tell.
func (s *suite) everything(t *testing.T) {
	cases := []struct {
		name string
		run  func(*testing.T)
	}{
		{"pod", s.testPod},
		{"two pods", s.testTwoPods},
		{"host port", s.testHostPort},
		{"bandwidth", s.testBandwidth},
		{"runtime killed", s.testKilled},
		{"daemon down", s.testDaemonDown},
		{"thirty pods at once", s.testThirty},
		{"upgrade of the daemon", s.testUpgrade},
		{"edit of the conflist", s.testConflistEdit},
		{"security groups", s.testSecurityGroups},
		{"CHECK and GC", s.testCheckAndGC},
	}
	ran := 0
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { ran++; c.run(t) })
	}
	if t.Failed() || ran != len(cases) {
		return
	}
	s.seen.publish(t, s.version(t))
}

func (s *suite) version(t *testing.T) string {
	t.Helper()
	name, err := s.on["node-a"].(versioned).Version(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return name
}
