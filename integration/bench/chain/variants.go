package chain

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containernetworking/cni/libcni"
)

// variant is something that adds and deletes a pod.
type variant struct {
	name  string
	every int // of how many rounds it has one: what is only to be compared with needs fewer samples
	exec  *timed
	add   func(context.Context, *libcni.RuntimeConf) error
	del   func(context.Context, *libcni.RuntimeConf) error
}

// The two whose times the others' are divided by.
const (
	floorName    = "floor"
	upstreamName = "ptp, host-local"
)

// variants are the chains that ship, the floor, and upstream's plugins with as
// much to do: a veth pair, an address and routes, and what stands behind them.
// conflists is the directory of those that ship; before has plugins of another
// build, if any.
func (b *bench) variants(bin, before, conflists, state string) ([]variant, error) {
	four, err := load(conflists, "10-vpc-sgpp")
	if err != nil {
		return nil, err
	}
	all := []variant{b.floor(bin, len(four.Plugins))}
	all = append(all, b.chain(b.ours, four, 1, bin))
	if before != "" {
		all = append(all, b.chain(b.ours+", before", four, 1, before, bin))
	}
	for _, name := range []string{"10-vpc", "10-vpc-portmap", "10-vpc-bandwidth-portmap"} {
		l, err := load(conflists, name)
		if err != nil {
			return nil, err
		}
		all = append(all, b.chain(types(l), l, 2, bin))
	}
	const portmap = `{"type":"portmap","capabilities":{"portMappings":true},"snat":true,"backend":"nftables"}`
	for i, u := range []struct {
		every int
		masq  bool
		more  string
	}{
		{1, false, ""}, {2, false, "," + portmap}, {2, false, `,{"type":"bandwidth","capabilities":{"bandwidth":true}},` + portmap}, {6, true, ""},
	} {
		raw := fmt.Sprintf(`{"cniVersion":"1.0.0","name":"upstream%d","plugins":[{"type":"ptp","ipMasq":%v,"ipam":{"type":"host-local","subnet":"10.%d.0.0/16","dataDir":%q}}%s]}`,
			i, u.masq, 90+i, state, u.more)
		l, err := libcni.NetworkConfFromBytes([]byte(raw))
		if err != nil {
			return nil, err
		}
		name := strings.Replace(types(l), "ptp", upstreamName, 1)
		if u.masq {
			name += ", ipMasq"
		}
		all = append(all, b.chain(name, l, u.every, bin))
	}
	return all, nil
}

func load(dir, name string) (*libcni.NetworkConfigList, error) {
	raw, err := os.ReadFile(filepath.Join(dir, name+".conflist")) //nolint:gosec // one that ships
	if err != nil {
		return nil, err
	}
	return libcni.NetworkConfFromBytes(raw)
}

func types(l *libcni.NetworkConfigList) string {
	var names []string
	for _, p := range l.Plugins {
		names = append(names, p.Network.Type)
	}
	return strings.Join(names, ", ")
}

func (b *bench) chain(name string, l *libcni.NetworkConfigList, every int, dirs ...string) variant {
	dirs = append(slices.Clone(dirs), filepath.Join(dirs[len(dirs)-1], "cni"))
	t := newTimed(&b.clock, name)
	c := libcni.NewCNIConfig(dirs, t)
	return variant{
		name, every, t,
		func(ctx context.Context, p *libcni.RuntimeConf) error {
			_, err := c.AddNetworkList(ctx, l, p)
			return err
		},
		func(ctx context.Context, p *libcni.RuntimeConf) error { return c.DelNetworkList(ctx, l, p) },
	}
}

func (b *bench) floor(bin string, execs int) variant {
	t := newTimed(&b.clock, floorName)
	f := newFloor(t, bin, execs)
	return variant{floorName, 1, t, f.add, f.del}
}
