package runtimes

import (
	"context"
	_ "embed" // the configuration
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"
)

//go:embed podman.conf
var podmanConf string

// Podman is podman on a node, on one network.
type Podman struct {
	node    *Node
	network string
}

// NewPodman prepares podman on a node for the network of that name.
func NewPodman(n *Node, network string) (*Podman, error) {
	text := strings.NewReplacer("@BASE@", base, "@BIN@", binDir, "@CONF@", confDir, "@NETWORK@", network).Replace(podmanConf)
	return &Podman{n, network}, os.WriteFile(n.outside(base+"/podman.conf"), []byte(text), 0o600)
}

// command runs podman with the node's own storage.
func (p *Podman) command(ctx context.Context, args ...string) (string, error) {
	env, err := p.node.environment()
	if err != nil {
		return "", err
	}
	full := append([]string{"env", "CONTAINERS_CONF=" + base + "/podman.conf"}, env...)
	full = append(full, "podman", "--root", base+"/podman/storage", "--runroot", base+"/podman/run", "--storage-driver", "overlay")
	return p.node.Exec(ctx, append(full, args...)...)
}

// Start implements Runtime. There is no process to start: each command is
// podman, and a monitor stays with each container.
func (p *Podman) Start(ctx context.Context) error {
	if _, err := p.command(ctx, "image", "exists", Image); err == nil {
		return nil
	}
	_, err := p.command(ctx, "load", "-q", "-i", p.node.image)
	return err
}

// Kill implements Runtime: it kills the monitor of every container.
func (p *Podman) Kill() error {
	ctx := context.Background()
	ids, err := p.command(ctx, "ps", "-q")
	if err != nil {
		return err
	}
	for id := range strings.FieldsSeq(ids) {
		c, err := p.inspect(ctx, id)
		if err != nil {
			return err
		}
		raw, err := os.ReadFile(p.node.outside(c.ConmonPidFile))
		if err != nil {
			return err
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(raw)))
		if err != nil {
			return fmt.Errorf("monitor of %s: %w", id, err)
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			return fmt.Errorf("killing the monitor of %s: %w", id, err)
		}
	}
	return nil
}

// Version is the version that podman tells.
func (p *Podman) Version(ctx context.Context) (string, error) {
	out, err := p.command(ctx, "--version")
	return strings.Replace(strings.TrimSpace(out), "version ", "", 1), err
}

type podmanContainer struct {
	ID              string `json:"Id"`
	ConmonPidFile   string
	State           struct{ Running bool }
	NetworkSettings struct {
		Networks map[string]struct{ IPAddress string }
	}
}

func (p *Podman) inspect(ctx context.Context, id string) (podmanContainer, error) {
	out, err := p.command(ctx, "inspect", id)
	if err != nil {
		return podmanContainer{}, err
	}
	var all []podmanContainer
	if err := json.Unmarshal([]byte(out), &all); err != nil || len(all) != 1 {
		return podmanContainer{}, fmt.Errorf("decoding podman inspect %s: %d containers, %w", id, len(all), err)
	}
	return all[0], nil
}

// Run implements Runtime.
func (p *Podman) Run(ctx context.Context, spec PodSpec) (Pod, error) {
	args := []string{"run", "-d", "--name", spec.Name, "--network", p.network, "--cgroup-parent", p.node.cgroup}
	if spec.HostPort != 0 {
		args = append(args, "-p", fmt.Sprintf("%d:%d", spec.HostPort, ServePort))
	}
	for k, v := range spec.Annotations {
		args = append(args, "--annotation", k+"="+v)
	}
	pod := Pod{PodSpec: spec}
	out, err := p.command(ctx, append(args, Image, "pod")...)
	if err != nil {
		// podman keeps the container that it could not start.
		_, _ = p.command(ctx, "rm", "-f", spec.Name)
		return pod, err
	}
	pod.ID = strings.TrimSpace(out)
	pod.Container = pod.ID
	c, err := p.inspect(ctx, pod.ID)
	if err != nil {
		return pod, err
	}
	pod.Addr, err = netip.ParseAddr(c.NetworkSettings.Networks[p.network].IPAddress)
	return pod, err
}

// Exec implements Runtime.
func (p *Podman) Exec(ctx context.Context, pod Pod, args ...string) (string, error) {
	return p.command(ctx, append([]string{"exec", pod.Container, "/probe"}, args...)...)
}

// Remove implements Runtime.
func (p *Podman) Remove(ctx context.Context, pod Pod) error {
	_, err := p.command(ctx, "rm", "-f", "-t", "0", pod.ID)
	return err
}
