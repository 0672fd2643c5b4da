package kubernetes

import (
	"context"
	_ "embed" // the configuration
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/vpcchain/vpcchain/integration/lab"
	"github.com/vpcchain/vpcchain/integration/vpcsim/instance"
)

//go:embed kubelet.yaml
var kubeletConfig string

// Kubelet is a kubelet on an instance that runs containerd.
type Kubelet struct {
	lab     *lab.Lab
	node    string
	addr    netip.Addr
	program string
	health  *API
	process *lab.Process
}

// NewKubelet prepares a kubelet on an instance of the simulation called name
// with its primary address, whose pods are in the control group, which exists. Dir
// has the program.
func NewKubelet(ctx context.Context, l *lab.Lab, name, node string, addr netip.Addr, cgroup, dir string) (*Kubelet, error) {
	health := newAPI(instance.At(name).Net(node), "http://127.0.0.1:10248", "")
	k := &Kubelet{lab: l, node: node, addr: addr, program: filepath.Join(dir, "kubelet"), health: health}
	for _, sub := range []string{"manifests", "logs", "volume-plugins", "kubelet", "sysctls"} {
		if err := os.MkdirAll(k.outside(sub), 0o755); err != nil { //nolint:gosec // holds no secret
			return nil, err
		}
	}
	text := strings.NewReplacer("@BASE@", base, "@CGROUP@", cgroup).Replace(kubeletConfig)
	if err := os.WriteFile(k.outside("kubelet.yaml"), []byte(text), 0o600); err != nil {
		return nil, err
	}
	if err := k.coverSysctls(ctx); err != nil {
		return nil, err
	}
	// Mounts propagate to containers, as on a machine that systemd started. All of
	// them: a runtime also finds those that lie hidden under the instance's /run.
	_, err := l.Exec(ctx, node, "mount", "--make-rshared", "/")
	return k, err
}

func (k *Kubelet) outside(path string) string {
	return filepath.Join(k.lab.RunDir(k.node), "kubernetes", path)
}

// coverSysctls puts files over the sysctls that a kubelet sets and that are the
// whole machine's, with the values that it wants: it finds them right, and the
// machine keeps its own. The instance's mount namespace ends with it.
func (k *Kubelet) coverSysctls(ctx context.Context) error {
	for path, value := range map[string]string{
		"vm/overcommit_memory": "1", "vm/panic_on_oom": "0", "kernel/panic": "10", "kernel/panic_on_oops": "1",
		"kernel/keys/root_maxkeys": "1000000", "kernel/keys/root_maxbytes": "25000000",
	} {
		file := filepath.Join("sysctls", strings.ReplaceAll(path, "/", "."))
		if err := os.WriteFile(k.outside(file), []byte(value+"\n"), 0o644); err != nil { //nolint:gosec // as /proc has it
			return err
		}
		if _, err := k.lab.Exec(ctx, k.node, "mount", "--bind", filepath.Join(base, file), filepath.Join("/proc/sys", path)); err != nil {
			return err
		}
	}
	return nil
}

// Start starts it, for the first time or again, and returns when it says that it is healthy.
func (k *Kubelet) Start(ctx context.Context) (err error) {
	k.process, err = k.lab.Start(k.node, nil, k.program, "--config="+base+"/kubelet.yaml", "--root-dir="+base+"/kubelet",
		"--cert-dir="+base+"/pki", "--hostname-override="+k.node,
		// Given, or it asks name servers that a closed simulation does not reach.
		"--node-ip="+k.addr.String(), "--kubeconfig="+base+"/kubeconfig", "--v=2")
	if err != nil {
		return err
	}
	err = lab.Poll(ctx, func() error {
		select {
		case <-k.process.Done():
			return lab.Permanent(errors.New("it ended"))
		default:
		}
		return k.health.Get(ctx, "/healthz", nil)
	})
	if err != nil {
		return fmt.Errorf("starting the kubelet: %w: %s", err, tail(k.process.Log()))
	}
	return nil
}

// Kill ends it with SIGKILL; its pods go on.
func (k *Kubelet) Kill() { _ = k.process.Stop(syscall.SIGKILL) } // the error says that it was killed

// Log is what it has written.
func (k *Kubelet) Log() string { return k.process.Log() }

// PutStatic makes a static pod, by rename: the kubelet watches the directory.
func (k *Kubelet) PutStatic(name string, manifest []byte) error {
	file := k.outside(filepath.Join("manifests", name+".json"))
	hidden := k.outside(filepath.Join("manifests", "."+name+".new"))
	if err := os.WriteFile(hidden, manifest, 0o600); err != nil {
		return err
	}
	return os.Rename(hidden, file)
}

// RemoveStatic ends a static pod.
func (k *Kubelet) RemoveStatic(name string) error {
	return os.Remove(k.outside(filepath.Join("manifests", name+".json")))
}
