package e2e

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/vpcchain/vpcchain/integration/lab"
)

const nodeAddr = "10.20.11.162"

// twoPods are a pod on the primary ENI and one on a secondary ENI of node-a, by
// the link that carries them.
func twoPods(t *testing.T, l *lab.Lab, network string) map[string]lab.Pod {
	t.Helper()
	pods := map[string]lab.Pod{}
	primary := ""
	for i := 0; len(pods) < 2; i++ {
		p, err := l.AddPod(t.Context(), "node-a", network, fmt.Sprintf("pod%d", i))
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			primary = p.ENI
			pods["eth0"] = p
		}
		if p.ENI != primary {
			pods[linkOf(t, l, p)] = p
		}
	}
	return pods
}

// linkOf is the link that carries a pod's address.
func linkOf(t *testing.T, l *lab.Lab, p lab.Pod) string {
	t.Helper()
	pool, err := l.Pool(t.Context(), p.Node)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range pool.ENIs {
		if e.ID == p.ENI {
			return fmt.Sprint("eth", e.Device)
		}
	}
	t.Fatalf("the pool has no %s", p.ENI)
	return ""
}

// EXTERNALSNAT × destination × ENI: the source address and the link by which
// the packets of a pod leave the node, as captured there.
func TestSNATTable(t *testing.T) {
	type dest struct {
		name, host string
		addr       netip.Addr
		inside     bool // keeps the pod's address and ENI
	}
	dests := []dest{
		{"same VPC CIDR", "endpoint", netip.MustParseAddr("10.20.13.10"), true},
		{"second VPC CIDR", "second", netip.MustParseAddr("100.64.70.10"), true},
		{"excluded CIDR", "partner", netip.MustParseAddr("192.168.50.5"), true},
		{"on premises", "onprem", netip.MustParseAddr("172.31.7.10"), false},
		{"internet", "web", netip.MustParseAddr("52.78.83.169"), false},
	}
	for _, external := range []bool{false, true} {
		t.Run(fmt.Sprintf("EXTERNALSNAT=%t", external), func(t *testing.T) {
			l := up(t, "nat.yaml")
			daemon(t, l, "node-a", fmt.Sprintf("AWS_VPC_K8S_CNI_EXTERNALSNAT=%t", external), "AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS=192.168.0.0/16")
			conflist(t, l, "node-a", chain)
			pods := twoPods(t, l, "vpc")
			var captures []*lab.Capture
			var links []string
			for link := range pods {
				c, err := l.Capture(t.Context(), "node-a", link, "tcp and dst port 8080")
				if err != nil {
					t.Fatal(err)
				}
				captures, links = append(captures, c), append(links, link)
			}
			// Which pod a packet is of shows in its time: one after the other, and what each reached.
			want := map[string][]string{}
			for _, d := range dests {
				serve(t, l, lab.HostEnd(d.host), 8080)
				for link, p := range pods {
					source, by := p.Addr.String(), link
					if !d.inside && !external {
						source, by = nodeAddr, "eth0"
					}
					_, err := l.Dial(t.Context(), lab.PodEnd(p), netip.AddrPortFrom(d.addr, 8080))
					// An address of a public subnet without a public mapping ends at the internet gateway.
					if refused := external && d.name == "internet"; (err != nil) != refused {
						t.Errorf("%s from %s: %v", d.name, link, err)
					}
					want[d.addr.String()] = append(want[d.addr.String()], source+" by "+by)
				}
			}
			got := map[string][]string{}
			for i, c := range captures {
				packets, err := c.Stop()
				if err != nil {
					t.Fatal(err)
				}
				for _, p := range packets {
					cell := p.Source.Addr().String() + " by " + links[i]
					if dst := p.Dest.Addr().String(); !slices.Contains(got[dst], cell) {
						got[dst] = append(got[dst], cell)
					}
				}
			}
			for _, d := range dests {
				a, b := unique1(want[d.addr.String()]), unique1(got[d.addr.String()])
				if !slices.Equal(a, b) {
					t.Errorf("%s: packets left with source %q, want %q", d.name, b, a)
				}
				t.Logf("%-16s %s", d.name, strings.Join(b, ", "))
			}
			drops(t, l, external)
		})
	}
}

func unique1(s []string) []string {
	s = slices.Clone(s)
	slices.Sort(s)
	return slices.Compact(s)
}

// drops: what the VPC refused is what the internet gateway had to, and nothing else.
func drops(t *testing.T, l *lab.Lab, expected bool) {
	t.Helper()
	var all []struct {
		Reason string `json:"reason"`
	}
	if err := l.Sim(t.Context(), &all, "drops"); err != nil {
		t.Fatal(err)
	}
	for _, d := range all {
		if !expected || !strings.Contains(d.Reason, "no public address") {
			t.Errorf("the VPC refused a packet: %s", d.Reason)
		}
	}
	if expected && len(all) == 0 {
		t.Error("the internet gateway let private addresses out")
	}
}

// serve starts a probe server that the test's end stops.
func serve(t *testing.T, l *lab.Lab, at lab.End, port uint16) {
	t.Helper()
	s, err := l.Serve(t.Context(), at, port)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
}
