package branches

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"golang.org/x/sys/unix"

	"github.com/vpcchain/vpcchain/integration/lab"
	"github.com/vpcchain/vpcchain/integration/vpcsim/netns"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// Annotations by which pods get branch ENIs, and the capability that carries them.
const (
	annotations = "io.kubernetes.cri.pod-annotations"
	podENI      = "vpc.amazonaws.com/pod-eni"
	podGroups   = "vpc.amazonaws.com/security-groups"
)

// host is a host of the simulation, and on a node its runtime.
type host struct {
	w      *world
	name   string
	list   *libcni.NetworkConfigList
	daemon *lab.Process
}

func (w *world) host(name string) *host { return &host{w: w, name: name} }

// node is a host with the shipped chain.
func (w *world) node(t *testing.T, name string) *host {
	t.Helper()
	return w.nodeWith(t, name, "../../conflist/10-vpc-sgpp.conflist")
}

func (w *world) nodeWith(t *testing.T, name, file string) *host {
	t.Helper()
	list, err := libcni.ConfListFromFile(file)
	must(t, err)
	return &host{w: w, name: name, list: list}
}

// inside runs f on a thread in the host's namespaces.
func (h *host) inside(f func() error) error {
	return netns.Inside(h.w.dir.Net(h.name), h.w.dir.Mount(h.name), f)
}

// boot is start, which must succeed.
func (h *host) boot(t *testing.T, env ...string) {
	t.Helper()
	must(t, h.start(t, env...))
}

func (h *host) socket() string { return filepath.Join(h.w.dir.Run(h.name), "vpc-cni", "ipamd.sock") }

// start starts a daemon, which the test's end kills, and returns when it listens.
func (h *host) start(t *testing.T, env ...string) error {
	p, err := h.w.Start(h.name, append([]string{
		"ENABLE_POD_ENI=true", "VPC_SNAT_BACKEND=nftables", "WARM_IP_TARGET=2", "IP_COOLDOWN_PERIOD=1", "ENABLE_SUBNET_DISCOVERY=false",
	}, env...), h.w.Bin("vpc-ipamd"))
	if err != nil {
		return err
	}
	h.daemon = p
	t.Cleanup(func() {
		_ = p.Stop(syscall.SIGKILL)
		if t.Failed() {
			t.Logf("log of vpc-ipamd on %s:\n%s", h.name, p.Log())
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return lab.Poll(ctx, func() error {
		select {
		case <-p.Done():
			return lab.Permanent(fmt.Errorf("vpc-ipamd on %s has ended:\n%s", h.name, p.Log()))
		default:
		}
		c, err := net.Dial("unix", h.socket())
		if err == nil {
			err = c.Close()
		}
		return err
	})
}

func (h *host) kill() { _ = h.daemon.Stop(syscall.SIGKILL) }

// pod is a pod, or what is left of one.
type pod struct {
	*host
	name string
	ns   *os.File // its network namespace
	wish map[string]string
	addr netip.Addr
	link string // of its branch; "" without one
	veth string
}

func asking(groups ...string) map[string]string {
	return map[string]string{podGroups: strings.Join(groups, ",")}
}

// sandbox makes the pod's network namespace, as the node sees it.
func (h *host) sandbox(name string, wish map[string]string) (*pod, error) {
	p := &pod{host: h, name: name, wish: wish}
	return p, h.inside(func() error {
		if err := os.MkdirAll(filepath.Dir(p.path()), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(p.path(), nil, 0o600); err != nil {
			return err
		}
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("making a network namespace: %w", err)
		}
		if err := unix.Mount("/proc/thread-self/ns/net", p.path(), "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("keeping a network namespace: %w", err)
		}
		var err error
		p.ns, err = os.Open(p.path())
		return err
	})
}

func (p *pod) path() string { return filepath.Join("/run/netns", p.name) }

// gone removes the network namespace.
func (p *pod) gone() error {
	return errors.Join(p.ns.Close(), p.inside(func() error {
		return errors.Join(unix.Unmount(p.path(), unix.MNT_DETACH), os.Remove(p.path()))
	}))
}

func (p *pod) conf() *libcni.RuntimeConf {
	rt := &libcni.RuntimeConf{
		ContainerID: p.name, NetNS: p.path(), IfName: "eth0",
		Args: [][2]string{{"IgnoreUnknown", "1"}, {"K8S_POD_NAMESPACE", "default"}, {"K8S_POD_NAME", p.name}},
	}
	if p.wish != nil {
		rt.CapabilityArgs = map[string]any{annotations: p.wish}
	}
	return rt
}

func (h *host) cni() *libcni.CNIConfig {
	return libcni.NewCNIConfig([]string{h.w.Bin(""), h.w.Bin("cni")}, nil)
}

// verbLimit is longer than any verb may take; the plugins give up before.
const verbLimit = 100 * time.Second

// add is an ADD; the plugin that runs when ctx ends is killed.
func (p *pod) add(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, verbLimit)
	defer cancel()
	return p.inside(func() error {
		r, err := p.cni().AddNetworkList(ctx, p.list, p.conf())
		if err != nil {
			return err
		}
		return p.learn(r)
	})
}

func (p *pod) learn(r types.Result) error {
	got, err := types100.GetResult(r)
	if err != nil || len(got.IPs) != 1 || len(got.Interfaces) < 3 {
		return fmt.Errorf("the result of %s: %v, %w", p.name, r, err)
	}
	addr, _ := netip.AddrFromSlice(got.IPs[0].Address.IP)
	p.addr, p.veth = addr.Unmap(), got.Interfaces[0].Name
	for _, i := range got.Interfaces[2:] {
		if _, ok := vpcnet.ParseBranchLink(i.Name); ok {
			p.link = i.Name
		}
	}
	return nil
}

func (p *pod) del(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, verbLimit)
	defer cancel()
	return p.inside(func() error { return p.cni().DelNetworkList(ctx, p.list, p.conf()) })
}

func (p *pod) check(ctx context.Context) error {
	return p.inside(func() error { return p.cni().CheckNetworkList(ctx, p.list, p.conf()) })
}

// collect is a GC with the pods as survivors.
func (h *host) collect(ctx context.Context, names ...string) error {
	args := &libcni.GCArgs{ValidAttachments: []types.GCAttachment{}}
	for _, n := range names {
		args.ValidAttachments = append(args.ValidAttachments, types.GCAttachment{ContainerID: n, IfName: "eth0"})
	}
	return h.inside(func() error { return h.cni().GCNetworkList(ctx, h.list, args) })
}

// run makes a pod with a network, which must succeed.
func (h *host) run(t *testing.T, name string, wish map[string]string) *pod {
	t.Helper()
	p, err := h.sandbox(name, wish)
	must(t, err)
	if err := p.add(t.Context()); err != nil {
		t.Fatalf("ADD of %s: %v", name, err)
	}
	return p
}

// end is what a runtime does at the end of a pod.
func (p *pod) end(t *testing.T) {
	t.Helper()
	if err := p.del(t.Context()); err != nil {
		t.Errorf("DEL of %s: %v", p.name, err)
	}
	if err := p.gone(); err != nil {
		t.Error(err)
	}
}

// enter runs f on a thread in the pod's network namespace.
func (p *pod) enter(f func() error) error {
	return netns.Do(fmt.Sprintf("/proc/self/fd/%d", p.ns.Fd()), f)
}

// enter runs f on a thread in the host's network namespace.
func (h *host) enter(f func() error) error { return netns.Do(h.w.dir.Net(h.name), f) }

// facts are the node facts.
func (h *host) facts() (map[string]json.RawMessage, error) {
	raw, err := os.ReadFile(filepath.Join(h.w.dir.Run(h.name), "vpc-cni", "node.json"))
	if err != nil {
		return nil, err
	}
	var f map[string]json.RawMessage
	return f, json.Unmarshal(raw, &f)
}
