package runtimes

import (
	"context"
	_ "embed" // the configurations
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/vpcchain/vpcchain/integration/lab"
	"github.com/vpcchain/vpcchain/integration/runtimes/cri"
)

//go:embed containerd-1.6.toml
var config16 string

//go:embed containerd-2.4.toml
var config24 string

// Containerd16 is the version that Debian 12 ships, with its programs in dir.
func Containerd16(dir string) ContainerdVersion {
	return ContainerdVersion{dir: dir, config: config16}
}

// Containerd24 is a build of 2.4 in dir.
func Containerd24(dir string) ContainerdVersion {
	// --local makes ctr itself unpack the archive; the transfer service of 2.x would need another configuration.
	return ContainerdVersion{dir: dir, config: config24, importFlags: []string{"--local=true"}}
}

// ContainerdVersion is a build of containerd with what differs between versions.
type ContainerdVersion struct {
	dir         string
	config      string
	importFlags []string
}

// Containerd is containerd on a node.
type Containerd struct {
	node    *Node
	version ContainerdVersion
	process *lab.Process
	client  *cri.Client
}

const containerdSocket = "/run/containerd/containerd.sock"

// NewContainerd prepares containerd on a node; Start starts it.
func NewContainerd(n *Node, v ContainerdVersion) (*Containerd, error) {
	text := strings.NewReplacer("@BASE@", base, "@BIN@", binDir, "@CONF@", confDir, "@IMAGE@", Image).Replace(v.config)
	if err := os.WriteFile(n.outside(base+"/containerd.toml"), []byte(text), 0o600); err != nil {
		return nil, err
	}
	// A path name leads to the same socket from any network namespace.
	client, err := cri.New(n.outside(containerdSocket))
	if err != nil {
		return nil, err
	}
	return &Containerd{node: n, version: v, client: client}, nil
}

// Start implements Runtime. The image is imported at the first start.
func (c *Containerd) Start(ctx context.Context) error {
	env, err := c.node.environment()
	if err != nil {
		return err
	}
	// containerd looks for its shim in PATH, and each version needs its own.
	env = append(env, "PATH="+c.version.dir+":/usr/sbin:/usr/bin:/sbin:/bin")
	first := c.process == nil
	c.process, err = c.node.lab.Start(c.node.name, env, filepath.Join(c.version.dir, "containerd"), "-c", base+"/containerd.toml")
	if err != nil {
		return err
	}
	err = lab.Poll(ctx, func() error {
		select {
		case <-c.process.Done():
			return lab.Permanent(errors.New("containerd ended"))
		default:
		}
		_, err := c.client.Pods(ctx)
		return err
	})
	if err == nil && first {
		args := append([]string{filepath.Join(c.version.dir, "ctr"), "-a", containerdSocket, "-n", "k8s.io", "images", "import"}, c.version.importFlags...)
		_, err = c.node.Exec(ctx, append(args, c.node.image)...)
	}
	if err != nil {
		return fmt.Errorf("starting containerd on %v: %w\n%s", c.node, err, c.process.Log())
	}
	return nil
}

// Kill implements Runtime.
func (c *Containerd) Kill() error {
	_ = c.process.Stop(syscall.SIGKILL) // the error says that it was killed
	return nil
}

// Log is what containerd has written since its last start.
func (c *Containerd) Log() string { return c.process.Log() }

// Conditions are containerd's own conditions, as the kubelet asks for them.
func (c *Containerd) Conditions(ctx context.Context) (map[string]cri.Condition, error) {
	return c.client.Conditions(ctx)
}

// Version is the version that containerd tells.
func (c *Containerd) Version(ctx context.Context) (string, error) {
	name, version, err := c.client.Version(ctx)
	return name + " " + strings.TrimPrefix(version, "v"), err
}

// Ready are the pods that containerd takes for alive.
func (c *Containerd) Ready(ctx context.Context) (map[string]bool, error) { return c.client.Pods(ctx) }

// Run implements Runtime.
func (c *Containerd) Run(ctx context.Context, spec PodSpec) (Pod, error) {
	config := cri.Pod{
		Namespace: "default", Name: spec.Name, UID: "uid-" + spec.Name,
		CgroupParent: c.node.cgroup, LogDir: base + "/logs/" + spec.Name, Annotations: spec.Annotations,
	}
	if spec.HostPort != 0 {
		config.Ports = []cri.Port{{Host: spec.HostPort, Pod: ServePort}}
	}
	p := Pod{PodSpec: spec}
	var err error
	if p.ID, err = c.client.RunPod(ctx, config); err != nil {
		return p, err // containerd has taken the sandbox down
	}
	if p.Container, err = c.client.StartContainer(ctx, p.ID, config, Image, "pod"); err == nil {
		p.Addr, err = c.client.Address(ctx, p.ID)
	}
	if err != nil {
		return p, errors.Join(fmt.Errorf("pod %s: %w", spec.Name, err), c.Remove(ctx, p))
	}
	return p, nil
}

// Exec implements Runtime.
func (c *Containerd) Exec(ctx context.Context, p Pod, args ...string) (string, error) {
	return c.client.Exec(ctx, p.Container, append([]string{"/probe"}, args...)...)
}

// Remove implements Runtime: StopPodSandbox and RemovePodSandbox, each with a DEL.
func (c *Containerd) Remove(ctx context.Context, p Pod) error {
	if err := c.client.StopPod(ctx, p.ID); err != nil {
		return fmt.Errorf("pod %s: %w", p.Name, err)
	}
	if err := c.client.RemovePod(ctx, p.ID); err != nil {
		return fmt.Errorf("pod %s: %w", p.Name, err)
	}
	return nil
}
