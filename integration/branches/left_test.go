package branches

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// kernel is all of the node that pods, branches and modes change: links but
// those of ENIs, rules, routes of pods and branches, the two sysctls, and the
// file that remembers their values.
func (h *host) kernel() ([]string, error) {
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	err := h.inside(func() error {
		links, err := netlinksafe.LinkList()
		if err != nil {
			return err
		}
		names := map[int]string{}
		for _, l := range links {
			a := l.Attrs()
			names[a.Index] = a.Name
			if l.Type() == "vlan" || strings.HasPrefix(a.Name, vpcnet.VethPrefix) {
				say("link %s %q", a.Name, a.Alias)
			}
		}
		if err := rulesAndRoutes(names, say); err != nil {
			return err
		}
		for _, name := range []string{"tcp_early_demux", "udp_early_demux"} {
			raw, err := os.ReadFile("/proc/sys/net/ipv4/" + name)
			if err != nil {
				return err
			}
			say("%s %s", name, strings.TrimSpace(string(raw)))
		}
		if _, err := os.Stat("/run/vpc-cni/sgpp.json"); !errors.Is(err, fs.ErrNotExist) {
			say("sgpp.json %v", err)
		}
		cached, err := filepath.Glob("/var/lib/cni/results/*")
		for _, c := range cached {
			say("result %s", c)
		}
		return err
	})
	slices.Sort(out)
	return out, err
}

func rulesAndRoutes(names map[int]string, say func(string, ...any)) error {
	rules, err := netlinksafe.RuleList(netlink.FAMILY_V4)
	if err != nil {
		return err
	}
	for _, r := range rules {
		_, branch := vpcnet.ParseTableBranch(r.Table)
		if r.Priority <= vpcnet.RuleLocal || branch || r.Priority == vpcnet.RuleFrom {
			say("rule %d iif %s from %v table %d", r.Priority, r.IifName, r.Src, r.Table)
		}
	}
	routes, err := netlinksafe.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return err
	}
	for _, r := range routes {
		if _, branch := vpcnet.ParseTableBranch(r.Table); branch || r.Table == vpcnet.TablePods {
			say("route %v via %v dev %s table %d", r.Dst, r.Gw, names[r.LinkIndex], r.Table)
		}
	}
	return nil
}

// bare is a node without pods, as it was read before the first one.
type bare struct {
	*host
	want []string
}

func (h *host) bare(t *testing.T) bare {
	t.Helper()
	k, err := h.kernel()
	must(t, err)
	return bare{h, k}
}

// same says what is not as it was.
func (b bare) same() error {
	k, err := b.kernel()
	if diff := cmp.Diff(b.want, k); err == nil && diff != "" {
		err = fmt.Errorf("the kernel of %s is not as it was (-before +now):\n%s", b.name, diff)
	}
	return err
}

// trunkTag names the trunk that a branch ENI was made for.
const trunkTag = "vpcresources.k8s.aws/trunk-eni-id"

func diff(want, got any) string { return cmp.Diff(want, got, cmpopts.EquateEmpty()) }
