package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/containernetworking/cni/libcni"
)

// limit is for a round: one that takes longer hangs.
const limit = 2 * time.Minute

// key says what was measured.
type key struct {
	what  string // ADD, DEL, empty
	of    string // a variant; of empty, the number of executions in sequence
	width int    // pods at once
}

type samples map[key][]time.Duration

func (s samples) quantile(k key, q float64) time.Duration {
	sorted := slices.Sorted(slices.Values(s[k]))
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

type bench struct {
	bin  string
	took samples
}

// measure runs rounds of each width until n pods of each variant are measured.
func (b *bench) measure(all []variant, widths []int, most, n int) error {
	// What is done once - the pool, ip_forward, iptables chains - is not measured.
	for _, v := range all {
		if err := (&bench{bin: b.bin, took: samples{}}).round(v, most); err != nil {
			return fmt.Errorf("warming up %s: %w", v.name, err)
		}
	}
	for _, w := range widths {
		for range (n + w - 1) / w {
			for _, v := range all {
				if err := b.round(v, w); err != nil {
					return fmt.Errorf("%s, %d at once: %w", v.name, w, err)
				}
			}
		}
	}
	return nil
}

// round adds width pods at once and deletes them at once, and runs as many
// empty binaries before each.
func (b *bench) round(v variant, width int) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	pods := make([]*libcni.RuntimeConf, 0, width)
	defer func() {
		for _, p := range pods {
			err = errors.Join(err, command(context.Background(), "ip", "netns", "del", p.ContainerID))
		}
	}()
	for i := range width {
		name := fmt.Sprintf("bench%d", i)
		if err := command(ctx, "ip", "netns", "add", name); err != nil {
			return err
		}
		pods = append(pods, &libcni.RuntimeConf{
			ContainerID: name, NetNS: "/run/netns/" + name, IfName: "eth0",
			Args: [][2]string{{"IgnoreUnknown", "1"}, {"K8S_POD_NAMESPACE", "default"}, {"K8S_POD_NAME", name}},
		})
	}
	empty := func(*libcni.RuntimeConf) error {
		for range v.execs {
			if err := command(ctx, filepath.Join(b.bin, "empty")); err != nil {
				return err
			}
		}
		return nil
	}
	add := func(p *libcni.RuntimeConf) error { _, err := v.cni.AddNetworkList(ctx, v.list, p); return err }
	del := func(p *libcni.RuntimeConf) error { return v.cni.DelNetworkList(ctx, v.list, p) }
	floor := fmt.Sprint(v.execs)
	return errors.Join(
		b.atOnce(key{"empty", floor, width}, pods, empty), b.atOnce(key{"ADD", v.name, width}, pods, add),
		b.atOnce(key{"empty", floor, width}, pods, empty), b.atOnce(key{"DEL", v.name, width}, pods, del))
}

// atOnce does f for every pod at the same time, and keeps how long each took.
func (b *bench) atOnce(k key, pods []*libcni.RuntimeConf, f func(*libcni.RuntimeConf) error) error {
	took, errs := make([]time.Duration, len(pods)), make([]error, len(pods))
	begin := make(chan struct{})
	var all sync.WaitGroup
	for i, p := range pods {
		all.Go(func() {
			<-begin
			start := time.Now()
			if err := f(p); err != nil {
				errs[i] = fmt.Errorf("%s of %s: %w", k.what, p.ContainerID, err)
			}
			took[i] = time.Since(start)
		})
	}
	close(begin)
	all.Wait()
	b.took[k] = append(b.took[k], took...)
	return errors.Join(errs...)
}

func command(ctx context.Context, name string, args ...string) error {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %v: %w: %s", name, args, err, out)
	}
	return nil
}
