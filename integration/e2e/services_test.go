package e2e

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/vpcchain/vpcchain/integration/lab"
	"github.com/vpcchain/vpcchain/integration/scenario"
)

// Ports of the services and of the probe servers behind them.
const (
	nodePortCluster = 30080
	nodePortLocal   = 30081
	hostPort        = 18080
	serverPort      = 8080
)

// withPortmap is a copy of the chain with upstream portmap before or behind
// vpc-snat, under the name of the chain.
func withPortmap(t *testing.T, backend string, before bool) string {
	t.Helper()
	raw, err := os.ReadFile(chain)
	if err != nil {
		t.Fatal(err)
	}
	var list map[string]any
	if err := json.Unmarshal(raw, &list); err != nil {
		t.Fatal(err)
	}
	portmap := map[string]any{"type": "portmap", "capabilities": map[string]bool{"portMappings": true}, "snat": true, "backend": backend}
	var plugins []any
	for _, p := range list["plugins"].([]any) {
		snat := p.(map[string]any)["type"] == "vpc-snat"
		if snat && before {
			plugins = append(plugins, portmap)
		}
		plugins = append(plugins, p)
		if snat && !before {
			plugins = append(plugins, portmap)
		}
	}
	list["plugins"] = plugins
	if raw, err = json.Marshal(list); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "10-vpc.conflist")
	if err := os.WriteFile(file, raw, 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// Each way into and out of a pod on a secondary ENI, with kube-proxy's rules in
// iptables and in nftables, there before ours and after them, and with portmap.
func TestServices(t *testing.T) {
	for _, proxy := range []string{"iptables", "nftables"} {
		for _, first := range []string{"kube-proxy", "vpc-snat"} {
			for _, external := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, %s first, EXTERNALSNAT=%t", proxy, first, external), func(t *testing.T) {
					services(t, proxy, first == "kube-proxy", external)
				})
			}
		}
	}
}

func services(t *testing.T, proxy string, proxyFirst, external bool) {
	l := up(t, "nat.yaml")
	env, err := scenario.CustomNetworking(t.Context(), l, "node-a")
	if err != nil {
		t.Fatal(err)
	}
	// Which pod address comes is not known before ADD: the one that the topology
	// hands out first after the ENI's own.
	pod := netip.MustParseAddr("100.64.32.5")
	endpoint, web := netip.MustParseAddr("10.20.13.10"), netip.MustParseAddr("52.78.83.169")
	clusterVPC, clusterWeb := netip.MustParseAddrPort("172.20.0.10:80"), netip.MustParseAddrPort("172.20.0.11:80")
	list := []service{
		{name: "endpoint", cluster: clusterVPC, endpoint: netip.AddrPortFrom(endpoint, serverPort)},
		{name: "web", cluster: clusterWeb, endpoint: netip.AddrPortFrom(web, serverPort)},
		{name: "cluster", nodePort: nodePortCluster, endpoint: netip.AddrPortFrom(pod, serverPort)},
		{name: "local", nodePort: nodePortLocal, local: true, endpoint: netip.AddrPortFrom(pod, serverPort)},
	}
	script := map[string]func([]service) string{"iptables": iptablesProxy, "nftables": nftProxy}[proxy](list)
	install := func() {
		if _, err := l.Exec(t.Context(), "node-a", "sh", "-c", script); err != nil {
			t.Fatal(err)
		}
	}
	if proxyFirst {
		install()
	}
	daemon(t, l, "node-a", append(env, fmt.Sprintf("AWS_VPC_K8S_CNI_EXTERNALSNAT=%t", external))...)
	conflist(t, l, "node-a", withPortmap(t, proxy, proxyFirst))
	p, err := l.AddPod(t.Context(), "node-a", "vpc", "pod", lab.WithCapArgs(fmt.Sprintf(
		`{"portMappings":[{"hostPort":%d,"containerPort":%d,"protocol":"tcp"}]}`, hostPort, serverPort)))
	if err != nil {
		t.Fatal(err)
	}
	if p.Addr != pod {
		t.Fatalf("the pod is %s, not %s", p.Addr, pod)
	}
	if !proxyFirst {
		install()
	}
	for _, at := range []lab.End{lab.HostEnd("endpoint"), lab.HostEnd("web"), lab.PodEnd(p)} {
		serve(t, l, at, serverPort)
	}
	out := publicNode
	if external {
		out = publicNAT
	}
	node := netip.MustParseAddr(nodeAddr)
	const prem = "172.31.7.10"
	for _, tc := range []struct {
		what string
		from lab.End
		to   netip.AddrPort
		seen string // source that the server sees
	}{
		{"ClusterIP to VPC endpoint", lab.PodEnd(p), clusterVPC, pod.String()},
		{"ClusterIP to internet endpoint", lab.PodEnd(p), clusterWeb, out},
		{"internet", lab.PodEnd(p), netip.AddrPortFrom(web, serverPort), out},
		{"on premises straight to the pod", lab.HostEnd("onprem"), netip.AddrPortFrom(pod, serverPort), prem},
		{"NodePort, policy Cluster", lab.HostEnd("onprem"), netip.AddrPortFrom(node, nodePortCluster), nodeAddr},
		{"NodePort, policy Local", lab.HostEnd("onprem"), netip.AddrPortFrom(node, nodePortLocal), prem},
		{"hostPort", lab.HostEnd("onprem"), netip.AddrPortFrom(node, hostPort), prem},
		{"hostPort from inside the VPC", lab.HostEnd("endpoint"), netip.AddrPortFrom(node, hostPort), endpoint.String()},
	} {
		seen, err := l.Dial(t.Context(), tc.from, tc.to)
		if err != nil {
			t.Errorf("%s: %v", tc.what, err)
			continue
		}
		if got := seen.Client.Addr().String(); got != tc.seen {
			t.Errorf("%s: the server sees %s, want %s", tc.what, got, tc.seen)
		}
	}
	if _, err := l.CNITool(t.Context(), "check", p); err != nil {
		t.Errorf("CHECK: %v", err)
	}
	drops(t, l, false)
	if err := l.DelPod(t.Context(), p); err != nil {
		t.Error(err)
	}
}

// portmap and vpc-snat, either first in the chain, with both backends of each.
func TestPortmapNeighbours(t *testing.T) {
	for _, portmap := range []string{"iptables", "nftables"} {
		for _, snat := range []string{"iptables", "nftables"} {
			for _, before := range []bool{true, false} {
				t.Run(fmt.Sprintf("portmap %s, vpc-snat %s, portmap first %t", portmap, snat, before), func(t *testing.T) {
					l := up(t, "nat.yaml")
					daemon(t, l, "node-a", "VPC_SNAT_BACKEND="+snat)
					conflist(t, l, "node-a", withPortmap(t, portmap, before))
					p, err := l.AddPod(t.Context(), "node-a", "vpc", "pod", lab.WithCapArgs(fmt.Sprintf(
						`{"portMappings":[{"hostPort":%d,"containerPort":%d,"protocol":"tcp"}]}`, hostPort, serverPort)))
					if err != nil {
						t.Fatal(err)
					}
					serve(t, l, lab.PodEnd(p), serverPort)
					serve(t, l, lab.HostEnd("web"), serverPort)
					node := netip.MustParseAddr(nodeAddr)
					for _, from := range []lab.End{lab.HostEnd("onprem"), lab.HostEnd("endpoint"), lab.HostEnd("node-a"), lab.PodEnd(p)} {
						if _, err := l.Dial(t.Context(), from, netip.AddrPortFrom(node, hostPort)); err != nil {
							t.Errorf("the host port from %v: %v", from, err)
						}
					}
					seen, err := l.Dial(t.Context(), lab.PodEnd(p), netip.MustParseAddrPort("52.78.83.169:8080"))
					if err != nil || seen.Client.Addr().String() != publicNode {
						t.Errorf("the internet sees %v, %v", seen.Client, err)
					}
					if _, err := l.CNITool(t.Context(), "check", p); err != nil {
						t.Errorf("CHECK: %v", err)
					}
					if err := l.DelPod(t.Context(), p); err != nil {
						t.Error(err)
					}
				})
			}
		}
	}
}
