package lab

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"path/filepath"
	"time"

	types100 "github.com/containernetworking/cni/pkg/types/100"
)

const confDir = "/etc/cni/net.d"

// Pod is a network namespace on a node that was added to a network with cnitool.
type Pod struct {
	Node    string
	Name    string
	Network string
	Addr    netip.Addr
	HostEnd string // host veth
	ENI     string // id of the ENI that carries the address; empty if the result names none
	Result  *types100.Result
	Took    time.Duration // of `cnitool add`, cnitool's own start included
	Env     []string      // what the runtime has in its environment beside CNI's

	capArgs string
}

// Netns is the pod's namespace as a path on its node.
func (p Pod) Netns() string { return filepath.Join("/run/netns", p.Name) }

// PodOption changes how cnitool is called for a pod.
type PodOption func(*Pod)

// WithCapArgs sets cnitool's CAP_ARGS, such as {"portMappings":[…]}.
func WithCapArgs(json string) PodOption { return func(p *Pod) { p.capArgs = json } }

// NewNetns makes an empty network namespace for a pod.
func (l *Lab) NewNetns(ctx context.Context, node, name string) error {
	if _, err := l.Exec(ctx, node, "ip", "netns", "add", name); err != nil {
		return err
	}
	_, err := l.Exec(ctx, node, "ip", "-n", name, "link", "set", "lo", "up")
	return err
}

// DelNetns removes a pod's network namespace.
func (l *Lab) DelNetns(ctx context.Context, node, name string) error {
	_, err := l.Exec(ctx, node, "ip", "netns", "del", name)
	return err
}

// CNITool runs the real cnitool with verb for the pod and returns what it prints.
func (l *Lab) CNITool(ctx context.Context, verb string, p Pod) (string, error) {
	env := []string{
		"CNI_PATH=" + cmp.Or(l.CNIPath, l.bin+":"+filepath.Join(l.bin, "cni")),
		"NETCONFPATH=" + confDir,
		"CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=" + p.Name,
	}
	if p.capArgs != "" {
		env = append(env, "CAP_ARGS="+p.capArgs)
	}
	return l.exec(ctx, append(env, p.Env...), p.Node, filepath.Join(l.bin, "cni", "cnitool"), verb, p.Network, p.Netns())
}

// AddPod makes a namespace and adds it to the network. On error the namespace
// is left for inspection; Down removes it.
func (l *Lab) AddPod(ctx context.Context, node, network, name string, opts ...PodOption) (Pod, error) {
	p := Pod{Node: node, Name: name, Network: network}
	for _, o := range opts {
		o(&p)
	}
	if err := l.NewNetns(ctx, node, name); err != nil {
		return p, err
	}
	return l.Add(ctx, p)
}

// Add runs cnitool add for a pod whose namespace exists and reads its result.
func (l *Lab) Add(ctx context.Context, p Pod) (Pod, error) {
	start := time.Now()
	out, err := l.CNITool(ctx, "add", p)
	p.Took = time.Since(start)
	if err != nil {
		return p, fmt.Errorf("adding pod %s: %w", p.Name, err)
	}
	p.Result = &types100.Result{}
	if err := json.Unmarshal([]byte(out), p.Result); err != nil {
		return p, fmt.Errorf("decoding the result of %s: %w", p.Name, err)
	}
	if len(p.Result.IPs) == 0 {
		return p, fmt.Errorf("adding pod %s: the result has no address: %s", p.Name, out)
	}
	p.Addr, _ = netip.AddrFromSlice(p.Result.IPs[0].Address.IP.To4())
	for i, ifc := range p.Result.Interfaces {
		switch {
		case i == 0 && ifc.Sandbox == "":
			p.HostEnd = ifc.Name
		case len(ifc.Name) > 4 && ifc.Name[:4] == "eni-":
			p.ENI = ifc.Name
		}
	}
	return p, nil
}

// DelPod runs cnitool del and removes the namespace.
func (l *Lab) DelPod(ctx context.Context, p Pod) error {
	if _, err := l.CNITool(ctx, "del", p); err != nil {
		return fmt.Errorf("deleting pod %s: %w", p.Name, err)
	}
	return l.DelNetns(ctx, p.Node, p.Name)
}
