// Package fill makes many pods on a node, through libcni and the chain that
// ships. Most share a network namespace, where each has an interface: what
// matters is what the node has of them.
package fill

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/containernetworking/cni/libcni"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"golang.org/x/sync/errgroup"

	"github.com/vpcchain/vpcchain/integration/vpcsim/netns"
)

// Pod is what became of a pod.
type Pod struct {
	Index int        `json:"index"`
	Addr  netip.Addr `json:"addr"`
	Netns string     `json:"netns"` // path on the node
}

// Options of Run.
type Options struct {
	Bin      string // directory of the built binaries
	Conflist string // file
	From, To int    // the pods to make, To excluded; the first two and the last two get namespaces of their own
}

const (
	dir    = "/run/netns"
	atOnce = 4
)

// Run adds the pods and writes each as a line of JSON.
func Run(ctx context.Context, out io.Writer, o Options) error {
	raw, err := os.ReadFile(o.Conflist)
	if err != nil {
		return err
	}
	list, err := libcni.NetworkConfFromBytes(raw)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	crowd := filepath.Join(dir, fmt.Sprintf("crowd%d", o.From))
	if err := netns.NewNet(crowd); err != nil {
		return err
	}
	cni := libcni.NewCNIConfig([]string{o.Bin}, nil)
	made := make([]Pod, o.To-o.From)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for i := o.From; i < o.To; i++ {
		group.Go(func() (err error) {
			ns, ifname := crowd, fmt.Sprintf("eth%d", i)
			if i < o.From+2 || i >= o.To-2 {
				ns, ifname = filepath.Join(dir, fmt.Sprintf("pod%d", i)), "eth0"
				if err := netns.NewNet(ns); err != nil {
					return err
				}
			}
			made[i-o.From], err = add(ctx, cni, list, i, ns, ifname)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	enc := json.NewEncoder(out)
	for _, p := range made {
		if err := enc.Encode(p); err != nil {
			return err
		}
	}
	return nil
}

func add(ctx context.Context, cni *libcni.CNIConfig, list *libcni.NetworkConfigList, i int, ns, ifname string) (Pod, error) {
	name := fmt.Sprintf("pod%d", i)
	res, err := cni.AddNetworkList(ctx, list, &libcni.RuntimeConf{
		ContainerID: name, NetNS: ns, IfName: ifname,
		Args: [][2]string{{"IgnoreUnknown", "1"}, {"K8S_POD_NAMESPACE", "default"}, {"K8S_POD_NAME", name}},
	})
	if err != nil {
		return Pod{}, fmt.Errorf("adding %s: %w", name, err)
	}
	r, err := types100.NewResultFromResult(res)
	if err != nil || len(r.IPs) == 0 {
		return Pod{}, fmt.Errorf("adding %s: no address in %v: %w", name, res, err)
	}
	a, _ := netip.AddrFromSlice(r.IPs[0].Address.IP)
	return Pod{Index: i, Addr: a.Unmap(), Netns: ns}, nil
}
