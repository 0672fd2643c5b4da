package hostnet

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// Witness is a trace of a pod in the kernel. It has what that trace shows; the
// rest is zero.
type Witness struct {
	Addr       netip.Addr
	Link       string            // the host's end of the pod's interface
	Attachment vpcnet.Attachment // what the link's alias says
	Netns      string            // path of a network namespace that has the address
	Rule       bool              // a rule 1536 of ours is for the address, which a pod has or had
}

// widestRule is the widest rule 1536 that is taken for single addresses.
const widestRule = 28

// Witnesses lists all traces of pods: veths with an alias or an address route
// (table 5120, a branch ENI's, or main as the stock CNI and ptp make it), rules 1536, and the
// addresses inside the network namespaces whose files are in the directories:
// of a pod on macvlan the host's own namespace shows nothing.
func (h *Host) Witnesses(ctx context.Context, dirs ...string) ([]Witness, error) {
	h.sync.Lock()
	defer h.sync.Unlock()
	out, err := h.ownWitnesses()
	if err != nil {
		return nil, err
	}
	for _, path := range namespaceFiles(dirs) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		out = append(out, h.inside(path)...)
	}
	return out, nil
}

// ownWitnesses are those of the host's namespace.
func (h *Host) ownWitnesses() ([]Witness, error) {
	links, err := h.nl.LinkList()
	if err != nil {
		return nil, fmt.Errorf("listing links: %w", err)
	}
	routes, err := h.podRoutes()
	if err != nil {
		return nil, err
	}
	var out []Witness
	for _, l := range links {
		a, ours := vpcnet.ParseAlias(l.Attrs().Alias)
		// A branch ENI's VLAN link has the alias too; it stays when the pod goes, and leads to the VPC's router.
		if l.Type() != "veth" && !ours || l.Type() == "vlan" {
			continue
		}
		w := Witness{Link: l.Attrs().Name, Attachment: a}
		addrs := routes[l.Attrs().Index]
		for _, w.Addr = range addrs {
			out = append(out, w)
		}
		if len(addrs) == 0 {
			out = append(out, w)
		}
	}
	rules, err := h.ruleWitnesses()
	return append(out, rules...), err
}

// podRoutes are the single addresses that a link leads to, by its index.
func (h *Host) podRoutes() (map[int][]netip.Addr, error) {
	out := map[int][]netip.Addr{}
	list, err := h.nl.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return nil, fmt.Errorf("listing the routes of all tables: %w", err)
	}
	for _, r := range list {
		p := toPrefix(r.Dst)
		pods := r.Table == vpcnet.TablePods || r.Table == vpcnet.TableMain || isBranchTable(r.Table)
		// The stock CNI's route in main stays beside ours.
		if pods && p.IsSingleIP() && r.Gw == nil && r.Type == unix.RTN_UNICAST && !slices.Contains(out[r.LinkIndex], p.Addr()) {
			out[r.LinkIndex] = append(out[r.LinkIndex], p.Addr())
		}
	}
	return out, nil
}

// ruleWitnesses are the addresses with a rule 1536 of ours.
func (h *Host) ruleWitnesses() ([]Witness, error) {
	rules, err := h.nl.RuleList(netlink.FAMILY_V4)
	if err != nil {
		return nil, fmt.Errorf("listing rules: %w", err)
	}
	var out []Witness
	for _, r := range rules {
		p := toPrefix(r.Src)
		if k := fromKernelRule(r); !k.ours() || k.Priority != vpcnet.RuleFrom || p.Bits() < widestRule {
			continue
		}
		for a := p.Addr(); p.Contains(a); a = a.Next() {
			out = append(out, Witness{Addr: a, Rule: true})
		}
	}
	return out, nil
}

// inside are the addresses of another namespace. One that goes away meanwhile,
// or is no namespace any more, has none.
func (h *Host) inside(path string) []Witness {
	ns, err := netns.GetFromPath(path)
	if err != nil {
		return nil
	}
	defer func() { _ = ns.Close() }()
	if ns.Equal(h.ns) {
		return nil
	}
	var out []Witness
	_ = inNamespace(ns, func() error {
		addrs, err := netlinksafe.AddrList(nil, netlink.FAMILY_V4)
		for _, a := range addrs {
			if toAddr(a.IP).IsGlobalUnicast() {
				out = append(out, Witness{Addr: toAddr(a.IP), Netns: path})
			}
		}
		return err
	})
	return out
}

// namespaceFiles are the files in dirs that hold a network namespace. What
// cannot be read has none: dirs differ between runtimes.
func namespaceFiles(dirs []string) []string {
	var out []string
	for _, dir := range dirs {
		names, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, n := range names {
			if path := filepath.Join(dir, n.Name()); IsNamespace(path) {
				out = append(out, path)
			}
		}
	}
	return out
}

// IsNamespace tells whether path is a namespace now. A runtime that dies leaves
// the file behind on which it had mounted one.
func IsNamespace(path string) bool {
	var fs unix.Statfs_t
	return unix.Statfs(path, &fs) == nil && fs.Type == unix.NSFS_MAGIC
}

// SetAlias writes the attachment on a link that has no alias: a veth of the
// stock CNI is found by it from then on, as one of ours.
func (h *Host) SetAlias(link string, a vpcnet.Attachment) error {
	h.sync.Lock()
	defer h.sync.Unlock()
	l, err := h.nl.LinkByName(link)
	if err != nil {
		return fmt.Errorf("finding link %s: %w", link, err)
	}
	if have := l.Attrs().Alias; have != "" {
		return fmt.Errorf("link %s has the alias %q", link, have)
	}
	if err := h.nl.LinkSetAlias(l, a.Alias()); err != nil {
		return fmt.Errorf("writing the alias of %s on link %s: %w", a, link, err)
	}
	return nil
}
