// Package fill makes many pods on a node, through libcni and the chain that
// ships. Most share a network namespace, where each has an interface: what
// matters is what the node has of them.
package fill

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

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
	own    = 2 // so many at either end have namespaces of their own
)

func (o Options) crowd() string { return filepath.Join(dir, fmt.Sprintf("crowd%d", o.From)) }

func open(o Options) (*libcni.CNIConfig, *libcni.NetworkConfigList, error) {
	raw, err := os.ReadFile(o.Conflist)
	if err != nil {
		return nil, nil, err
	}
	list, err := libcni.NetworkConfFromBytes(raw)
	return libcni.NewCNIConfig([]string{o.Bin}, nil), list, err
}

// Run adds the pods and writes each as a line of JSON.
func Run(ctx context.Context, out io.Writer, o Options) error {
	cni, list, err := open(o)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	crowd := o.crowd()
	if err := netns.NewNet(crowd); err != nil {
		return err
	}
	made := make([]Pod, o.To-o.From)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for i := o.From; i < o.To; i++ {
		group.Go(func() (err error) {
			ns, ifname := crowd, fmt.Sprintf("eth%d", i)
			if i < o.From+own || i >= o.To-own {
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

func conf(i int, ns, ifname string) *libcni.RuntimeConf {
	name := fmt.Sprintf("pod%d", i)
	return &libcni.RuntimeConf{
		ContainerID: name, NetNS: ns, IfName: ifname,
		Args: [][2]string{{"IgnoreUnknown", "1"}, {"K8S_POD_NAMESPACE", "default"}, {"K8S_POD_NAME", name}},
	}
}

func add(ctx context.Context, cni *libcni.CNIConfig, list *libcni.NetworkConfigList, i int, ns, ifname string) (Pod, error) {
	res, err := cni.AddNetworkList(ctx, list, conf(i, ns, ifname))
	if err != nil {
		return Pod{}, fmt.Errorf("adding pod %d: %w", i, err)
	}
	r, err := types100.NewResultFromResult(res)
	if err == nil && len(r.IPs) == 0 {
		err = errors.New("no address")
	}
	if err != nil {
		return Pod{}, fmt.Errorf("the result of pod %d: %w", i, err)
	}
	a, _ := netip.AddrFromSlice(r.IPs[0].Address.IP)
	return Pod{Index: i, Addr: a.Unmap(), Netns: ns}, nil
}

// Churn deletes pods that Run made and adds them again, so many a second for so
// long, and returns how many it did. It is behind when the machine is too slow.
func Churn(ctx context.Context, o Options, rate int, d time.Duration) (done int64, err error) {
	cni, list, err := open(o)
	if err != nil {
		return 0, err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	crowd := o.crowd()
	begin, every := time.Now(), time.Second/time.Duration(rate)
	var n atomic.Int64
	// Those that share a namespace; one after the other, so none is deleted while it is added.
	first, last := o.From+own, o.To-own
	for i := range int(d / every) {
		select {
		case <-ctx.Done():
		case <-time.After(time.Until(begin.Add(time.Duration(i) * every))):
		}
		if ctx.Err() != nil || time.Since(begin) > d {
			break
		}
		pod := first + i%(last-first)
		group.Go(func() error {
			c := conf(pod, crowd, fmt.Sprintf("eth%d", pod))
			if err := cni.DelNetworkList(ctx, list, c); err != nil {
				return fmt.Errorf("deleting pod %d: %w", pod, err)
			}
			_, err := add(ctx, cni, list, pod, c.NetNS, c.IfName)
			n.Add(1)
			return err
		})
	}
	err = group.Wait()
	return n.Load(), err
}
