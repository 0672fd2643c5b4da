// Package chain measures ADDs and DELs through libcni, as a runtime makes them,
// one at a time and many in parallel: the chains that ship, upstream's plugins,
// and a floor below which no chain of as many plugins can be. It runs in the
// namespaces of a node on which vpc-ipamd has addresses ready.
package chain

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"time"

	"github.com/containernetworking/cni/libcni"

	"github.com/vpcchain/vpcchain/integration/performance"
)

// limit is for a round: one that takes longer hangs.
const limit = 2 * time.Minute

// warmUp is how many pods at once come before the measurement.
const warmUp = 8

// Options of Run.
type Options struct {
	Bin       string // directory of the built binaries
	Before    string // directory with plugins of another build, measured as well; may be empty
	Conflists string // directory of the conflists that ship
	Widths    []int  // pods at once
	N         int    // pods of each variant at each width; rounds are whole, so it may be some more
}

type bench struct {
	ours string // the name of the chain of four
	clock
	pods []*libcni.RuntimeConf
}

// Run measures and returns the report.
func Run(ctx context.Context, o Options) (report string, err error) {
	b := &bench{ours: "vpc-ipam, vpc-veth, vpc-snat, vpc-sgpp", clock: clock{took: map[key]performance.Samples{}}}
	state, err := os.MkdirTemp("", "bench")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(state) }()
	all, err := b.variants(o.Bin, o.Before, o.Conflists, state)
	if err != nil {
		return "", err
	}
	most := 1
	for _, w := range o.Widths {
		most = max(most, w)
	}
	defer func() { err = errors.Join(err, b.removePods()) }()
	if err := b.makePods(ctx, most); err != nil {
		return "", err
	}
	// What is done once - the pool, ip_forward, iptables chains - is not measured.
	for _, v := range all {
		if err := b.round(ctx, v, min(most, warmUp)); err != nil {
			return "", fmt.Errorf("warming up %s: %w", v.name, err)
		}
	}
	b.took = map[key]performance.Samples{}
	for _, w := range o.Widths {
		for i := range (o.N + w - 1) / w {
			for j := range all {
				// In another order each time: what one leaves for the kernel to clean up another one pays.
				v := all[(i+j)%len(all)]
				if i%v.every != 0 {
					continue
				}
				if err := b.round(ctx, v, w); err != nil {
					return "", fmt.Errorf("%s, %d at once: %w", v.name, w, err)
				}
			}
		}
	}
	return b.report(all, o.Widths), nil
}

// makePods makes the network namespaces. They are used again and again: the
// kernel goes on for long after one is removed, and others would pay for it.
func (b *bench) makePods(ctx context.Context, n int) error {
	for i := range n {
		name := fmt.Sprintf("bench%d", i)
		if err := command(ctx, "ip", "netns", "add", name); err != nil {
			return err
		}
		b.pods = append(b.pods, &libcni.RuntimeConf{
			ContainerID: name, NetNS: "/run/netns/" + name, IfName: "eth0",
			Args: [][2]string{{"IgnoreUnknown", "1"}, {"K8S_POD_NAMESPACE", "default"}, {"K8S_POD_NAME", name}},
		})
	}
	return nil
}

func (b *bench) removePods() error {
	var errs []error
	for _, p := range b.pods {
		errs = append(errs, command(context.Background(), "ip", "netns", "del", p.ContainerID))
	}
	return errors.Join(errs...)
}

// round adds width pods at once and deletes them at once.
func (b *bench) round(ctx context.Context, v variant, width int) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	v.exec.width = width
	pods := b.pods[:width]
	return errors.Join(b.atOnce(ctx, key{v.name, "ADD", "", width}, pods, v.add), b.atOnce(ctx, key{v.name, "DEL", "", width}, pods, v.del))
}

// atOnce does f for every pod at the same time, and keeps how long each took.
func (b *bench) atOnce(ctx context.Context, k key, pods []*libcni.RuntimeConf, f func(context.Context, *libcni.RuntimeConf) error) error {
	errs := make([]error, len(pods))
	begin := make(chan struct{})
	var all sync.WaitGroup
	for i, p := range pods {
		all.Go(func() {
			<-begin
			start := time.Now()
			if err := f(ctx, p); err != nil {
				errs[i] = fmt.Errorf("%s of %s: %w", k.verb, p.ContainerID, err)
			}
			b.add(k, time.Since(start))
		})
	}
	close(begin)
	all.Wait()
	return errors.Join(errs...)
}

func command(ctx context.Context, name string, args ...string) error {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput() //nolint:gosec // the bench's own words
	if err != nil {
		return fmt.Errorf("%s %v: %w: %s", name, args, err, out)
	}
	return nil
}
