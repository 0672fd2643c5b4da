// Package runtimes drives real container runtimes on the instances of a
// simulation: containerd over the CRI and podman. A runtime and everything that
// it starts lives in the instance's network and mount namespaces, its files
// below the instance's own /run, its pods in a control group of their own, so
// that the end of the simulation is the end of all of it.
package runtimes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/vpcchain/vpcchain/integration/lab"
)

// Where things are on an instance. The machine's /opt is not the instance's
// own, so the CNI plugins are not in /opt/cni/bin; /var/lib is on an overlay, on
// which the runtimes cannot put overlays of their own, and /run is a tmpfs.
const (
	base    = "/run/runtimes"
	binDir  = base + "/cni"
	confDir = "/etc/cni/net.d"
	confRun = "/run/runtimes/conf" // for files that are renamed into confDir
	realDir = base + "/real"
	callDir = base + "/calls"
)

// Image is the reference of the test image.
const Image = "localhost/vpcchain/probe:test"

// Ports of the container of a pod: the first answers with the addresses that
// it sees, the second sends without end.
const (
	ServePort = 8080
	PourPort  = 8081
)

// PodSpec is a pod to be made.
type PodSpec struct {
	Name        string
	HostPort    uint16 // leads to ServePort; 0 is none
	Annotations map[string]string
}

// Pod is a pod that runs.
type Pod struct {
	PodSpec
	ID        string // what the runtime gave to CNI as container id
	Container string
	Addr      netip.Addr
}

// Runtime is a container runtime on one node.
type Runtime interface {
	// Start starts it, for the first time or again, and returns when it serves.
	Start(ctx context.Context) error
	// Kill ends it with SIGKILL; its pods go on.
	Kill() error
	// Run makes a pod. After an error nothing of it is left.
	Run(ctx context.Context, spec PodSpec) (Pod, error)
	// Exec runs the test image's program in a pod and returns what it prints.
	Exec(ctx context.Context, p Pod, args ...string) (string, error)
	// Remove ends a pod and removes it.
	Remove(ctx context.Context, p Pod) error
}

// Node is an instance with what a container runtime needs.
type Node struct {
	lab    *lab.Lab
	name   string
	cgroup string // path below each hierarchy, begins with "/"
	image  string // archive of the test image
}

// NewNode prepares an instance whose vpc-ipamd runs: `vpcctl install` with the
// flags puts plugins and conflist in place, and recorder goes in front of
// vpc-ipam. The recorder is a program that behaves as RecordMain does.
func NewNode(ctx context.Context, l *lab.Lab, name, cgroup, image, recorder string, flags ...string) (*Node, error) {
	n := &Node{lab: l, name: name, cgroup: cgroup, image: image}
	for _, dir := range []string{binDir, realDir, callDir, confRun} {
		if err := os.MkdirAll(n.outside(dir), 0o755); err != nil {
			return nil, err
		}
	}
	args := append([]string{l.Bin("vpcctl"), "install", "--bin-dir", binDir, "--conf-dir", confDir}, flags...)
	if _, err := n.Exec(ctx, args...); err != nil {
		return nil, err
	}
	// A runtime calls loopback for every pod, whatever the conflist says.
	loopback := n.outside(filepath.Join(binDir, "loopback"))
	if err := os.Symlink(l.Bin("cni/loopback"), loopback); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	plugin := n.outside(filepath.Join(binDir, recorded))
	if err := os.Rename(plugin, n.outside(filepath.Join(realDir, recorded))); err != nil {
		return nil, err
	}
	return n, os.Symlink(recorder, plugin)
}

// outside is the path, seen from the machine, of a path below /run of the instance.
func (n *Node) outside(path string) string {
	rel, err := filepath.Rel("/run", path)
	if err != nil {
		panic(err) // only constants of this package are given
	}
	return filepath.Join(n.lab.RunDir(n.name), rel)
}

// SetConflist installs the network configuration, by rename as an installer
// does: a runtime that watches the directory never reads half of a file.
func (n *Node) SetConflist(ctx context.Context, conflist map[string]any) error {
	raw, err := json.MarshalIndent(conflist, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(n.outside(filepath.Join(confRun, "conflist")), raw, 0o644); err != nil { //nolint:gosec // every user may read it
		return err
	}
	// The last step within one file system, or it would not be a rename.
	const temporary = confDir + "/.10-vpc.conflist.new"
	if _, err := n.lab.Exec(ctx, n.name, "cp", filepath.Join(confRun, "conflist"), temporary); err != nil {
		return err
	}
	_, err = n.lab.Exec(ctx, n.name, "mv", temporary, filepath.Join(confDir, "10-vpc.conflist"))
	return err
}

// Exec runs a command on the node.
func (n *Node) Exec(ctx context.Context, args ...string) (string, error) {
	return n.lab.Exec(ctx, n.name, args...)
}

// environment of a runtime: temporary files on the instance, not in the machine's /tmp.
func (n *Node) environment() ([]string, error) {
	dir := base + "/tmp"
	if err := os.MkdirAll(n.outside(dir), 0o700); err != nil {
		return nil, err
	}
	return []string{"TMPDIR=" + dir}, nil
}

func (n *Node) String() string { return fmt.Sprintf("node %s", n.name) }
