// Command bench measures the chain on an instance of a simulation: sequential
// ADDs and DELs through libcni, as a runtime makes them, each beside one
// execution of an empty Go binary. Machines differ and the same machine varies
// by a factor of two, so what counts is the ratio within one run.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/containernetworking/cni/libcni"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type samples map[string][]time.Duration

func run() error {
	bin := flag.String("bin", "bin", "directory of the built binaries")
	network := flag.String("network", "vpc", "network name, configured in /etc/cni/net.d")
	n := flag.Int("n", 100, "ADD/DEL pairs")
	flag.Parse()
	list, err := libcni.LoadNetworkConf("/etc/cni/net.d", *network)
	if err != nil {
		return err
	}
	cni := libcni.NewCNIConfig([]string{*bin, filepath.Join(*bin, "cni")}, nil)
	took := samples{}
	all := variants(list)
	for i := range *n {
		// In turns, so that what the machine does meanwhile hits all alike.
		for _, v := range all {
			if err := pair(cni, v, *bin, i, took); err != nil {
				return err
			}
		}
	}
	took.print(os.Stdout, all)
	return nil
}

// variant is a chain to measure.
type variant struct {
	suffix string // of ADD and DEL in the table
	list   *libcni.NetworkConfigList
}

// variants are the whole chain, and the chain without vpc-snat.
func variants(list *libcni.NetworkConfigList) []variant {
	without := *list
	without.Plugins = slices.DeleteFunc(slices.Clone(list.Plugins), func(p *libcni.PluginConfig) bool { return p.Network.Type == "vpc-snat" })
	all := []variant{{"", list}}
	if len(without.Plugins) < len(list.Plugins) {
		all = append(all, variant{" without vpc-snat", &without})
	}
	return all
}

// pair adds and deletes one pod, and runs the empty binary before each.
func pair(cni *libcni.CNIConfig, v variant, bin string, i int, took samples) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	name := fmt.Sprintf("bench%d", i)
	if err := command(ctx, "ip", "netns", "add", name); err != nil {
		return err
	}
	defer func() { _ = command(context.Background(), "ip", "netns", "del", name) }()
	rt := &libcni.RuntimeConf{
		ContainerID: name, NetNS: "/run/netns/" + name, IfName: "eth0",
		Args: [][2]string{{"IgnoreUnknown", "1"}, {"K8S_POD_NAMESPACE", "default"}, {"K8S_POD_NAME", name}},
	}
	for _, step := range []struct {
		name string
		f    func() error
	}{
		{"empty", func() error { return command(ctx, filepath.Join(bin, "empty")) }},
		{"ADD" + v.suffix, func() error { _, err := cni.AddNetworkList(ctx, v.list, rt); return err }},
		{"empty", func() error { return command(ctx, filepath.Join(bin, "empty")) }},
		{"DEL" + v.suffix, func() error { return cni.DelNetworkList(ctx, v.list, rt) }},
	} {
		start := time.Now()
		if err := step.f(); err != nil {
			return fmt.Errorf("%s of %s: %w", step.name, name, err)
		}
		took[step.name] = append(took[step.name], time.Since(start))
	}
	return nil
}

func command(ctx context.Context, name string, args ...string) error {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %v: %w: %s", name, args, err, out)
	}
	return nil
}

func (s samples) quantile(name string, q float64) time.Duration {
	sorted := slices.Sorted(slices.Values(s[name]))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

func (s samples) print(out *os.File, all []variant) {
	floor := s.quantile("empty", 0.5)
	names := []string{"empty"}
	for _, v := range all {
		names = append(names, "ADD"+v.suffix, "DEL"+v.suffix)
	}
	fmt.Fprintf(out, "%-22s %6s %9s %9s %9s %s\n", "what", "n", "p50 ms", "p90 ms", "p99 ms", "p50 / empty")
	for _, name := range names {
		p50 := s.quantile(name, 0.5)
		fmt.Fprintf(out, "%-22s %6d %9.2f %9.2f %9.2f %.1f\n", name, len(s[name]),
			ms(p50), ms(s.quantile(name, 0.9)), ms(s.quantile(name, 0.99)), float64(p50)/float64(floor))
	}
	for _, v := range all {
		plugins := len(v.list.Plugins)
		fmt.Fprintf(out, "%d plugins%s: ADD = %.1f empty executions a plugin\n",
			plugins, v.suffix, float64(s.quantile("ADD"+v.suffix, 0.5))/float64(floor)/float64(plugins))
	}
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
