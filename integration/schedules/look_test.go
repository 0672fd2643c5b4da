package schedules

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// sight is a node as it is: its kernel, and its daemon's pool.
type sight struct {
	Pool    json.RawMessage       // vpcctl pool --json
	Status  string                // vpcctl status
	Pending string                // what will have the loop act, by and by
	Aliases map[string]string     // container id -> host veth
	Routes  map[netip.Addr]string // table 5120: address -> link
	From    map[string]int        // rules 1536: sources -> table
	Tables  map[int]bool          // those that have a default route
	Inside  map[string][]string   // container id -> addresses in its namespace
	CutOff  []string              // live pods that reach nobody, and why
}

// pending is what the daemon waits for before it acts again: a surplus that has to
// last, calls that are spared after EC2 refused some, pods that are to come back.
func (r *runtime) pending() string {
	var status struct {
		Pool struct {
			Hold        string  `json:"hold"`
			HoldSeconds float64 `json:"holdSeconds"`
			Demand      int     `json:"demand"`
		} `json:"pool"`
	}
	// One that cannot be read is a daemon without a pool, which is a difference of its own.
	raw, _ := exec.Command(filepath.Join(r.bin, "vpcctl"), "status", "--json").Output()
	_ = json.Unmarshal(raw, &status)
	switch p := status.Pool; {
	case p.HoldSeconds > 0:
		return fmt.Sprintf("%s (%.0f s)", p.Hold, p.HoldSeconds)
	case p.Demand > 0:
		return fmt.Sprintf("%d pods are to come", p.Demand)
	}
	return ""
}

// look reads the node, as the namespaces that the process runs in show it.
func (r *runtime) look() (sight, error) {
	s := sight{Aliases: map[string]string{}, Routes: map[netip.Addr]string{}, From: map[string]int{}, Tables: map[int]bool{}, Inside: map[string][]string{}}
	// A daemon that does not answer has no pool: the test says so.
	s.Pool, _ = exec.Command(filepath.Join(r.bin, "vpcctl"), "pool", "--json").Output()
	if len(s.Pool) == 0 {
		s.Pool = []byte("null")
	}
	status, _ := exec.Command(filepath.Join(r.bin, "vpcctl"), "status").CombinedOutput()
	s.Status, _, _ = strings.Cut(string(status), "\n") // behind it come the details
	s.Pending = r.pending()
	if err := s.kernel(); err != nil {
		return s, err
	}
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, p := range r.pods {
		if !p.addr.IsValid() {
			continue
		}
		addrs, err := inside(p.netns())
		if err != nil {
			return s, err
		}
		s.Inside[p.id] = addrs
		all.Go(func() {
			if err := r.ping(p); err != nil {
				mu.Lock()
				defer mu.Unlock()
				s.CutOff = append(s.CutOff, fmt.Sprintf("%s: %v", p.id, err))
			}
		})
	}
	all.Wait()
	return s, nil
}

// kernel reads links, routes and rules.
func (s *sight) kernel() error {
	links, err := netlinksafe.LinkList()
	if err != nil {
		return err
	}
	names := map[int]string{}
	for _, l := range links {
		names[l.Attrs().Index] = l.Attrs().Name
		if a, ok := vpcnet.ParseAlias(l.Attrs().Alias); ok {
			s.Aliases[a.ContainerID] = l.Attrs().Name
		}
	}
	// Table 0 in the filter stands for all tables.
	routes, err := netlinksafe.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return err
	}
	for _, rt := range routes {
		ones := 0
		if rt.Dst != nil {
			ones, _ = rt.Dst.Mask.Size()
		}
		if rt.Table == vpcnet.TablePods {
			a, _ := netip.AddrFromSlice(rt.Dst.IP.To4())
			s.Routes[a] = names[rt.LinkIndex]
		} else if ones == 0 {
			s.Tables[rt.Table] = true
		}
	}
	rules, err := netlinksafe.RuleList(netlink.FAMILY_V4)
	if err != nil {
		return err
	}
	for _, rule := range rules {
		if rule.Priority == vpcnet.RuleFrom && rule.Src != nil {
			s.From[rule.Src.String()] = rule.Table
		}
	}
	return nil
}

// inside are the addresses of a pod's namespace.
func inside(path string) ([]string, error) {
	ns, err := netns.GetFromPath(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = ns.Close() }()
	h, err := netlink.NewHandleAt(ns)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	l, err := h.LinkByName("eth0")
	if err != nil {
		return nil, err
	}
	addrs, err := h.AddrList(l, netlink.FAMILY_V4)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, a := range addrs {
		out = append(out, a.IP.String())
	}
	return out, nil
}

// tableOf is the table in which packets from the address look for their way:
// the narrowest rule decides, since the daemon makes no others.
func (s *sight) tableOf(a netip.Addr) int {
	table, bits := vpcnet.TableMain, -1
	for src, t := range s.From {
		if p, err := netip.ParsePrefix(src); err == nil && p.Contains(a) && p.Bits() > bits {
			table, bits = t, p.Bits()
		}
	}
	return table
}

// pool is what vpcctl prints of it.
type pool struct {
	ENIs []struct {
		ID        string
		Ready     bool
		Note      string
		Addresses []address
		Prefixes  []struct{ Prefix netip.Prefix }
	}
	Used int
	Plan []string
	Lost []address
}

type address struct {
	Address     netip.Addr
	State       string
	ContainerID string
}

// holders are the used addresses by container id.
func (p pool) holders() map[string]netip.Addr {
	out := map[string]netip.Addr{}
	for _, e := range p.ENIs {
		for _, a := range e.Addresses {
			if a.State == "used" {
				out[a.ContainerID] = a.Address
			}
		}
	}
	return out
}

func sorted[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }
