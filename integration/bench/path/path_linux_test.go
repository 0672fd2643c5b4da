package path

import (
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("VPCCHAIN_REQUIRE") != "" {
		t.Fatal("not root")
	}
	t.Skip("needs root to make network namespaces")
}

// Through routers of its own the bench sees as many hops as there are, and
// counts what arrives: as much as was sent, and nothing where nothing can.
func TestPlain(t *testing.T) {
	needRoot(t)
	for _, routers := range []int{1, 3} {
		p, err := newPlain(routers, 1500)
		if err != nil {
			t.Fatal(err)
		}
		defer p.close()
		hops, err := hopsBetween(p.ends[0], p.ends[1])
		if err != nil || hops != routers {
			t.Errorf("%d hops through %d routers, %v", hops, routers, err)
		}
		trips, _, err := ping(p.ends[0], p.ends[1], 50)
		if err != nil || len(trips) != 50 || trips.Quantile(0.5) <= 0 {
			t.Errorf("%d round trips of 50, %v", len(trips), err)
		}
		for name, f := range map[string]func(end, end) (float64, error){
			"flood":     func(a, b end) (float64, error) { return flood(a, b, 20*time.Millisecond) },
			"new flows": newFlows,
			"stream": func(a, b end) (float64, error) {
				rate, mss, err := stream(a, b, 20*time.Millisecond)
				if mss != 1500-headers {
					t.Errorf("largest segment %d", mss)
				}
				return rate, err
			},
		} {
			if rate, err := f(p.ends[0], p.ends[1]); err != nil || rate < 1000 {
				t.Errorf("%s through %d routers: %.0f a second, %v", name, routers, rate, err)
			}
		}
	}
	p, err := newPlain(1, 1500)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	if err := p.spaces[1].in(func() error { return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("0"), 0o600) }); err != nil {
		t.Fatal(err)
	}
	if rate, err := flood(p.ends[0], p.ends[1], 20*time.Millisecond); err != nil || rate > 100 {
		t.Errorf("%.0f packets a second through a router that does not forward, %v", rate, err)
	}
	if _, _, err := ping(p.ends[0], p.ends[1], 1); err == nil {
		t.Error("a router that does not forward let a ping through")
	}
}

// What the stock CNI makes for three pods, one of them on the primary ENI.
func TestStock(t *testing.T) {
	mask := func(a string) *net.IPNet {
		_, n, err := net.ParseCIDR(a)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	l := layout{rules: []*netlink.Rule{
		newRule(vpcnet.RulePods, vpcnet.TablePods, nil, nil, vpcnet.RouteProtocol),
		newRule(vpcnet.RuleFrom, 2, mask("10.0.0.4/31"), nil, vpcnet.RouteProtocol),
	}}
	pods := []netip.Addr{netip.MustParseAddr("10.0.0.9"), netip.MustParseAddr("10.0.0.4"), netip.MustParseAddr("10.0.0.5")}
	for i, p := range pods {
		l.routes = append(l.routes, &netlink.Route{LinkIndex: 10 + i, Dst: mask(p.String() + "/32"), Table: vpcnet.TablePods})
	}
	var rules, routes []string
	got := stock(l, pods)
	for _, r := range got.rules {
		rules = append(rules, strings.TrimSpace(r.String()))
	}
	for _, r := range got.routes {
		routes = append(routes, r.String())
	}
	if diff := cmp.Diff([]string{
		"ip rule 512: from all to 10.0.0.9/32 table 254", "ip rule 512: from all to 10.0.0.4/32 table 254", "ip rule 1536: from 10.0.0.4/32 to all table 2",
		"ip rule 512: from all to 10.0.0.5/32 table 254", "ip rule 1536: from 10.0.0.5/32 to all table 2",
	}, rules); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
	if len(routes) != len(pods) || got.routes[2].LinkIndex != 12 || got.routes[2].Table != 254 {
		t.Errorf("routes %v", routes)
	}
}
