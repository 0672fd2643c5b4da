// Command bench measures chains on an instance of a simulation: ADDs and DELs
// through libcni, as a runtime makes them, one at a time and many in parallel,
// beside upstream plugins and beside as many executions of an empty Go binary.
// Machines differ and the same machine varies by a factor of two, so all are
// measured in turns, and what counts is the ratio within one run.
package main

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/containernetworking/cni/libcni"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run() error {
	bin := flag.String("bin", "bin", "directory of the built binaries")
	before := flag.String("before", "", "directory with plugins of another build, measured as well; those that it lacks are taken from -bin")
	network := flag.String("network", "vpc", "network name, configured in /etc/cni/net.d")
	n := flag.Int("n", 100, "pods of each variant at each parallelism; rounds are whole, so it may be some more")
	parallel := flag.String("parallel", "1,8,32", "numbers of pods at once")
	out := flag.String("out", "", "file for the report, standard output if empty")
	commit := flag.String("commit", "unknown", "what was built, for the report")
	flag.Parse()
	list, err := libcni.LoadNetworkConf("/etc/cni/net.d", *network)
	if err != nil {
		return err
	}
	var widths []int
	most := 0
	for f := range strings.SplitSeq(*parallel, ",") {
		w, err := strconv.Atoi(f)
		if err != nil || w < 1 {
			return fmt.Errorf("-parallel %q: give numbers from 1 with commas between them", *parallel)
		}
		widths, most = append(widths, w), max(most, w)
	}
	state, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(state) }()
	all, err := variants(list, *bin, *before, state)
	if err != nil {
		return err
	}
	b := bench{bin: *bin, took: samples{}}
	if err := b.measure(all, widths, most, *n); err != nil {
		return err
	}
	to := os.Stdout
	if *out != "" {
		if to, err = os.Create(*out); err != nil {
			return err
		}
	}
	b.took.print(to, all, widths, head(*bin, *commit))
	return cmp.Or(to.Sync(), to.Close())
}

// variant is a chain to measure.
type variant struct {
	name  string
	list  *libcni.NetworkConfigList
	cni   *libcni.CNIConfig
	execs int // executions of plugins that an ADD takes, delegates too
}

// variants are the chain, the same of another build, the chain without
// vpc-snat, and upstream's plugins with as much to do: a veth pair, an address
// and routes, without and with source NAT.
func variants(list *libcni.NetworkConfigList, bin, before, state string) ([]variant, error) {
	path := func(dirs ...string) *libcni.CNIConfig {
		return libcni.NewCNIConfig(append(dirs, bin, filepath.Join(bin, "cni")), nil)
	}
	without := *list
	without.Plugins = nil
	var names []string
	for _, p := range list.Plugins {
		names = append(names, p.Network.Type)
		if p.Network.Type != "vpc-snat" {
			without.Plugins = append(without.Plugins, p)
		}
	}
	all := []variant{{strings.Join(names, ", "), list, path(), len(list.Plugins)}}
	if before != "" {
		all = append(all, variant{"the same, before", list, path(before), len(list.Plugins)})
	}
	if len(without.Plugins) < len(list.Plugins) {
		all = append(all, variant{"without vpc-snat", &without, path(), len(without.Plugins)})
	}
	for i, masq := range []bool{false, true} {
		raw := fmt.Sprintf(`{"cniVersion":"1.0.0","name":"upstream%d","plugins":[{"type":"ptp","ipMasq":%v,"ipam":{"type":"host-local","subnet":"10.%d.0.0/16","dataDir":%q}}]}`, i, masq, 98+i, state)
		upstream, err := libcni.NetworkConfFromBytes([]byte(raw))
		if err != nil {
			return nil, err
		}
		name := "ptp, host-local"
		if masq {
			name += ", ipMasq"
		}
		all = append(all, variant{name, upstream, path(), 2})
	}
	return all, nil
}
