package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"

	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// Leftovers lists what pods leave on a node when something goes wrong: host
// veths, routes of table 5120, rules 1536, used addresses, cached results.
// An empty list is the proof that a node is clean.
func (l *Lab) Leftovers(ctx context.Context, node string) ([]string, error) {
	var left []string
	links, err := l.Exec(ctx, node, "ip", "-o", "link", "show", "type", "veth")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(links) {
		if name := strings.Fields(line)[1]; strings.HasPrefix(name, vpcnet.VethPrefix) {
			left = append(left, "link "+name)
		}
	}
	rules, err := l.Exec(ctx, node, "ip", "rule", "show", "priority", fmt.Sprint(vpcnet.RuleFrom))
	if err != nil {
		return nil, err
	}
	left = appendLines(left, "rule ", rules)
	// `ip route show table N` fails where the kernel has no such table, which is the good case.
	routes, _ := l.Exec(ctx, node, "ip", "route", "show", "table", fmt.Sprint(vpcnet.TablePods))
	left = appendLines(left, "route ", routes)
	cache, err := l.Exec(ctx, node, "find", "/var/lib/cni", "-type", "f", "-path", "*/results/*")
	if err == nil {
		left = appendLines(left, "cache ", cache)
	}
	pool, err := l.Pool(ctx, node)
	if err != nil {
		return nil, err
	}
	for _, e := range pool.ENIs {
		for _, a := range e.Addresses {
			if a.State != "free" {
				left = append(left, fmt.Sprintf("address %s %s %s", a.Address, a.State, a.ContainerID))
			}
		}
	}
	return left, nil
}

func appendLines(to []string, prefix, text string) []string {
	for line := range strings.Lines(text) {
		if s := strings.TrimSpace(line); s != "" {
			to = append(to, prefix+s)
		}
	}
	return to
}

// HostAddrs is the primary address of every host of the simulation, read on the hosts.
func (l *Lab) HostAddrs(ctx context.Context) (map[string]netip.Addr, error) {
	addrs := map[string]netip.Addr{}
	for _, host := range []string{"node-a", "node-b", "endpoint", "onprem", "web"} {
		out, err := l.Exec(ctx, host, "ip", "-j", "-4", "addr", "show", "dev", "eth0")
		if err != nil {
			return nil, err
		}
		var links []struct {
			AddrInfo []struct {
				Local netip.Addr `json:"local"`
			} `json:"addr_info"`
		}
		if err := json.Unmarshal([]byte(out), &links); err != nil {
			return nil, fmt.Errorf("decoding the addresses of %s: %w", host, err)
		}
		for _, li := range links {
			if len(li.AddrInfo) > 0 {
				addrs[host] = li.AddrInfo[0].Local
			}
		}
	}
	return addrs, nil
}
