package e2e

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/integration/lab"
)

// The demo is the first thing a user runs; its claims are the suite's matrix.
func TestDemo(t *testing.T) {
	needRoot(t)
	start := time.Now()
	cmd := exec.CommandContext(t.Context(), filepath.Join(binDir(t), "demo"), "-bin", binDir(t), "-conflist", "../../conflist/10-vpc.conflist")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("demo: %v\n%s", err, out)
	}
	if !regexp.MustCompile(`\n[1-9]\d+ passed, 0 failed\n$`).Match(out) {
		t.Fatalf("the demo does not end with its count:\n%s", out)
	}
	t.Logf("demo took %.1f s", time.Since(start).Seconds())
}

// Every version that a runtime may ask for runs the five verbs that it has.
func TestVersions(t *testing.T) {
	l := up(t, "")
	daemon(t, l, "node-a", "IP_COOLDOWN_PERIOD=1")
	raw, err := os.ReadFile("../../conflist/10-vpc.conflist")
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{"0.4.0", "1.0.0", "1.1.0"} {
		t.Run(version, func(t *testing.T) {
			var list map[string]any
			if err := json.Unmarshal(raw, &list); err != nil {
				t.Fatal(err)
			}
			delete(list, "cniVersions")
			list["cniVersion"] = version
			list["name"] = "v" + strings.ReplaceAll(version, ".", "")
			file := filepath.Join(t.TempDir(), "20-"+version+".conflist")
			edited, err := json.Marshal(list)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, edited, 0o644); err != nil {
				t.Fatal(err)
			}
			conflist(t, l, "node-a", file)
			p, err := l.AddPod(t.Context(), "node-a", list["name"].(string), "pod-"+version)
			if err != nil {
				t.Fatal(err)
			}
			if p.Result.CNIVersion != version {
				t.Errorf("result has version %s", p.Result.CNIVersion)
			}
			for _, verb := range []string{"check", "status", "del", "del"} {
				if _, err := l.CNITool(t.Context(), verb, p); err != nil {
					t.Errorf("%s: %v", verb, err)
				}
			}
			clean(t, l, "node-a")
		})
	}
}

// Upstream bandwidth and portmap behind the chain: the port is reachable from
// another node and the rate is the one asked for.
func TestBandwidthAndPortmap(t *testing.T) {
	l := up(t, "")
	for _, node := range []string{"node-a", "node-b"} {
		daemon(t, l, node, "IP_COOLDOWN_PERIOD=1")
	}
	conflist(t, l, "node-a", "../../conflist/10-vpc-bandwidth-portmap.conflist")
	network := networkName(t, "../../conflist/10-vpc-bandwidth-portmap.conflist")
	const limit = 8_000_000 // bit/s
	p, err := l.AddPod(t.Context(), "node-a", network, "web", lab.WithCapArgs(fmt.Sprintf(
		`{"portMappings":[{"hostPort":18080,"containerPort":8080,"protocol":"tcp"}],
		  "bandwidth":{"ingressRate":%d,"ingressBurst":%d,"egressRate":%d,"egressBurst":%d}}`, limit, limit, limit, limit)))
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Serve(t.Context(), lab.PodEnd(p), 8080)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	hosts, err := l.HostAddrs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	seen, err := l.Dial(t.Context(), lab.HostEnd("node-b"), netip.AddrPortFrom(hosts["node-a"], 18080))
	if err != nil {
		t.Fatalf("dialling the host port: %v", err)
	}
	if seen.Server != netip.AddrPortFrom(p.Addr, 8080) {
		t.Errorf("the pod saw destination %v, want %v:8080", seen.Server, p.Addr)
	}
	qdiscs, err := l.Exec(t.Context(), "node-a", "tc", "qdisc", "show")
	if err != nil {
		t.Fatal(err)
	}
	if want := regexp.MustCompile(`qdisc tbf .* dev ` + p.HostEnd + ` .*rate 8Mbit`); !want.MatchString(qdiscs) {
		t.Errorf("no 8 Mbit/s shaper on %s:\n%s", p.HostEnd, qdiscs)
	}
	if _, err := l.CNITool(t.Context(), "check", p); err != nil {
		t.Errorf("CHECK: %v", err)
	}
	if err := l.DelPod(t.Context(), p); err != nil {
		t.Error(err)
	}
	clean(t, l, "node-a")
}

// vpc-ipam serves upstream ptp as a delegate.
func TestDelegatedUnderPTP(t *testing.T) {
	l := up(t, "")
	daemon(t, l, "node-a", "IP_COOLDOWN_PERIOD=1")
	const file = "../../conflist/10-ptp-vpc-ipam.conflist"
	conflist(t, l, "node-a", file)
	p, err := l.AddPod(t.Context(), "node-a", networkName(t, file), "ptp")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Ping(t.Context(), lab.HostEnd("node-a"), p.Addr); err != nil {
		t.Errorf("node to pod: %v", err)
	}
	if err := l.DelPod(t.Context(), p); err != nil {
		t.Error(err)
	}
	clean(t, l, "node-a")
}

// list writes a conflist of the plugins, under the name net.
func list(t *testing.T, plugins string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "40-net.conflist")
	text := fmt.Sprintf(`{"cniVersion": "1.0.0", "name": "net", "plugins": [%s]}`, plugins)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// vpc-ipam as the delegate of bridge and macvlan: the pod gets the pool's
// address, and DEL gives it back.
func TestDelegatedUnderOthers(t *testing.T) {
	for name, plugin := range map[string]string{
		"bridge":  `{"type": "bridge", "bridge": "cni0", "ipam": {"type": "vpc-ipam"}}`,
		"macvlan": `{"type": "macvlan", "master": "eth0", "ipam": {"type": "vpc-ipam"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			l := up(t, "")
			daemon(t, l, "node-a", "IP_COOLDOWN_PERIOD=1")
			conflist(t, l, "node-a", list(t, plugin))
			p, err := l.AddPod(t.Context(), "node-a", "net", name)
			if err != nil {
				t.Fatal(err)
			}
			addrs, err := l.Exec(t.Context(), "node-a", "nsenter", "--net="+p.Netns(), "--", "ip", "-4", "addr", "show", "eth0")
			if err != nil || !strings.Contains(addrs, p.Addr.String()+"/24") {
				t.Errorf("the pod has %s, %v", addrs, err)
			}
			if err := l.DelPod(t.Context(), p); err != nil {
				t.Error(err)
			}
			clean(t, l, "node-a")
		})
	}
}

// vpc-veth behind upstream IPAM plugins, with no vpc-ipam and no daemon.
func TestVethBehindUpstreamIPAM(t *testing.T) {
	for name, plugin := range map[string]string{
		"static":     `{"type": "static", "ipam": {"type": "static", "addresses": [{"address": "10.200.0.7/24"}]}}`,
		"host-local": `{"type": "host-local", "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.200.0.0/24"}]]}}`,
	} {
		t.Run(name, func(t *testing.T) {
			l := up(t, "")
			conflist(t, l, "node-a", list(t, plugin+`, {"type": "vpc-veth"}`))
			var pods []lab.Pod
			for i := range map[string]int{"static": 1, "host-local": 2}[name] {
				p, err := l.AddPod(t.Context(), "node-a", "net", fmt.Sprint("pod", i))
				if err != nil {
					t.Fatal(err)
				}
				pods = append(pods, p)
				if err := l.Ping(t.Context(), lab.HostEnd("node-a"), p.Addr); err != nil {
					t.Errorf("node to pod: %v", err)
				}
			}
			if len(pods) > 1 {
				if err := l.Ping(t.Context(), lab.PodEnd(pods[0]), pods[1].Addr); err != nil {
					t.Errorf("pod to pod: %v", err)
				}
			}
			for _, p := range pods {
				if err := l.DelPod(t.Context(), p); err != nil {
					t.Error(err)
				}
			}
			if links, err := l.Exec(t.Context(), "node-a", "ip", "-br", "link", "show", "type", "veth"); err != nil || strings.Contains(links, "eni") {
				t.Errorf("left: %s, %v", links, err)
			}
		})
	}
}

func networkName(t testing.TB, file string) string {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var list struct{ Name string }
	if err := json.Unmarshal(raw, &list); err != nil {
		t.Fatal(err)
	}
	return list.Name
}

// renamed is a copy of a conflist under another network name.
func renamed(t testing.TB, file, name string) string {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var list map[string]any
	if err := json.Unmarshal(raw, &list); err != nil {
		t.Fatal(err)
	}
	list["name"] = name
	if raw, err = json.Marshal(list); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "30-"+name+".conflist")
	if err := os.WriteFile(out, raw, 0o644); err != nil {
		t.Fatal(err)
	}
	return out
}
