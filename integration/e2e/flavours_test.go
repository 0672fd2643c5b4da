package e2e

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/integration/lab"
	"github.com/vpcchain/vpcchain/integration/scenario"
)

// flavour is how a shipped conflist is run: the daemon's settings, and where a
// pod's connection to the internet comes from; "" where nothing lets it out.
type flavour struct {
	custom bool // networking: pods in the pod subnet
	env    []string
	source string
}

func flavours() map[string]flavour {
	return map[string]flavour{
		"10-vpc.conflist":                   {source: publicNode},
		"10-vpc-portmap.conflist":           {source: publicNode},
		"10-vpc-bandwidth-portmap.conflist": {source: publicNode},
		"10-vpc-external-snat.conflist":     {custom: true, source: publicNAT},
		"10-vpc-prefix-custom.conflist":     {custom: true, env: []string{"ENABLE_PREFIX_DELEGATION=true"}, source: publicNode},
		// A pod without annotations; those with are in integration/branches, on a kernel with 802.1Q.
		"10-vpc-sgpp.conflist":     {env: []string{"ENABLE_POD_ENI=true"}, source: publicNode},
		"10-ptp-vpc-ipam.conflist": {},
	}
}

// Every shipped conflist: two pods talk, the node and another host reach them, the
// way out of the VPC is the one that the file promises, CHECK and STATUS agree,
// and nothing is left.
func TestFlavours(t *testing.T) {
	files, err := filepath.Glob("../../conflist/*.conflist")
	if err != nil || len(files) == 0 {
		t.Fatalf("no conflists: %v", err)
	}
	for _, file := range files {
		f, ok := flavours()[filepath.Base(file)]
		if !ok {
			t.Errorf("nothing says how to run %s", file)
			continue
		}
		t.Run(filepath.Base(file), func(t *testing.T) { f.run(t, file) })
	}
}

func (f flavour) run(t *testing.T, file string) {
	l := up(t, "nat.yaml")
	ctx := t.Context()
	env := append([]string{"IP_COOLDOWN_PERIOD=1"}, f.env...)
	if f.custom {
		custom, err := scenario.CustomNetworking(ctx, l, "node-a")
		if err != nil {
			t.Fatal(err)
		}
		env = append(env, custom...)
	}
	// As on a node with docker or kube-proxy. Else the first rule of NAT turns on
	// connection tracking, which takes a connection of before for a new one, and
	// the SNAT gives the daemon's connection to EC2 another port.
	if _, err := l.Exec(ctx, "node-a", "iptables", "-t", "nat", "-A", "POSTROUTING", "-s", "172.17.0.0/16", "!", "-o", "docker0", "-j", "MASQUERADE"); err != nil {
		t.Fatal(err)
	}
	daemon(t, l, "node-a", env...)
	conflist(t, l, "node-a", file)
	var pods []lab.Pod
	for i := range 2 {
		p, err := l.AddPod(ctx, "node-a", networkName(t, file), fmt.Sprint("pod", i))
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(p.Addr.String(), "100.64.") != f.custom {
			t.Errorf("a pod is %s", p.Addr)
		}
		pods = append(pods, p)
	}
	for name, ping := range map[string]struct {
		from lab.End
		to   netip.Addr
	}{
		"pod to pod":       {lab.PodEnd(pods[0]), pods[1].Addr},
		"node to pod":      {lab.HostEnd("node-a"), pods[0].Addr},
		"endpoint to pod":  {lab.HostEnd("endpoint"), pods[1].Addr},
		"pod to second":    {lab.PodEnd(pods[1]), netip.MustParseAddr("100.64.70.10")},
		"on-premises to 0": {lab.HostEnd("onprem"), pods[0].Addr},
	} {
		if err := l.Ping(ctx, ping.from, ping.to); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	f.wayOut(t, l, pods[0])
	f.kernel(t, l)
	for _, p := range pods {
		if _, err := l.CNITool(ctx, "check", p); err != nil {
			t.Errorf("CHECK: %v", err)
		}
	}
	if _, err := l.CNITool(ctx, "status", pods[0]); err != nil {
		t.Errorf("STATUS: %v", err)
	}
	for _, p := range pods {
		if err := l.DelPod(ctx, p); err != nil {
			t.Error(err)
		}
	}
	f.nothingLeft(t, l)
}

// nothingLeft: in prefix mode the rules of delegated prefixes stay with them.
func (f flavour) nothingLeft(t *testing.T, l *lab.Lab) {
	t.Helper()
	if !f.prefixes() {
		clean(t, l, "node-a")
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	err := lab.Poll(ctx, func() error {
		left, err := l.Leftovers(ctx, "node-a")
		left = slices.DeleteFunc(left, func(s string) bool { return strings.HasPrefix(s, "rule ") && strings.Contains(s, "/28 lookup") })
		if err == nil && len(left) > 0 {
			err = fmt.Errorf("left: %q", left)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func (f flavour) prefixes() bool { return slices.Contains(f.env, "ENABLE_PREFIX_DELEGATION=true") }

// wayOut dials the web server.
func (f flavour) wayOut(t *testing.T, l *lab.Lab, p lab.Pod) {
	t.Helper()
	if f.source == "" {
		return
	}
	serve(t, l, lab.HostEnd("web"), 8080)
	seen, err := l.Dial(t.Context(), lab.PodEnd(p), netip.MustParseAddrPort("52.78.83.169:8080"))
	if err != nil {
		t.Errorf("to the internet: %v", err)
	} else if got := seen.Client.Addr().String(); got != f.source {
		t.Errorf("the web server sees %s, want %s", got, f.source)
	}
}

// kernel reads back what tells the flavours apart.
func (f flavour) kernel(t *testing.T, l *lab.Lab) {
	t.Helper()
	nat, err := l.Exec(t.Context(), "node-a", "iptables", "-t", "nat", "-S")
	if err != nil || strings.Contains(nat, "AWS-SNAT-CHAIN") != (f.source == publicNode) {
		t.Errorf("the nat table has %s, %v", nat, err)
	}
	rules, err := l.Exec(t.Context(), "node-a", "ip", "rule", "show", "priority", "1536")
	if prefixes := strings.Contains(rules, "/28 lookup"); err != nil || prefixes != f.prefixes() {
		t.Errorf("rules 1536 are %s, %v", rules, err)
	}
}

// An admin's own plugin beside the shipped file: upstream tuning in the network's
// directory stands at the end of the chain, for ADD, CHECK and DEL; another
// network's does not.
func TestDropIn(t *testing.T) {
	l := up(t, "")
	ctx := t.Context()
	daemon(t, l, "node-a", "IP_COOLDOWN_PERIOD=1")
	installed(t, l, "node-a")
	l.CNIPath = nodeBin + ":" + filepath.Join(binDir(t), "cni")
	tcpFin := func(p lab.Pod) string {
		out, err := l.Exec(ctx, "node-a", "nsenter", "--net="+p.Netns(), "cat", "/proc/sys/net/ipv4/tcp_fin_timeout")
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(out)
	}
	add := func(name string) lab.Pod {
		p, err := l.AddPod(ctx, "node-a", "vpc", name)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	plain := add("plain")
	usual := tcpFin(plain)
	dir := t.TempDir()
	for file, text := range map[string]string{
		"vpc/10-tuning.conf":   `{"type": "tuning", "sysctl": {"net.ipv4.tcp_fin_timeout": "7"}, "mtu": 1400}`,
		"vpc/notes.txt":        `not a plugin`,
		"other/10-tuning.conf": `{"type": "nobody-has-this"}`,
	} {
		src := filepath.Join(dir, filepath.Base(file))
		if err := os.WriteFile(src, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := l.Exec(ctx, "node-a", "install", "-D", "-m", "644", src, nodeConf+"/"+file); err != nil {
			t.Fatal(err)
		}
	}
	tuned := add("tuned")
	if got := tcpFin(tuned); got != "7" || usual == "7" {
		t.Errorf("tcp_fin_timeout is %s in the pod, %s in one of before", got, usual)
	}
	if mtu, err := l.Exec(ctx, "node-a", "nsenter", "--net="+tuned.Netns(), "ip", "link", "show", "eth0"); err != nil || !strings.Contains(mtu, "mtu 1400") {
		t.Errorf("the pod's link: %s, %v", mtu, err)
	}
	if err := l.Ping(ctx, lab.HostEnd("node-b"), tuned.Addr); err != nil {
		t.Error(err)
	}
	if _, err := l.CNITool(ctx, "check", tuned); err != nil {
		t.Errorf("CHECK: %v", err)
	}
	if _, err := l.Exec(ctx, "node-a", "nsenter", "--net="+tuned.Netns(), "sh", "-c", "echo 8 > /proc/sys/net/ipv4/tcp_fin_timeout"); err != nil {
		t.Fatal(err)
	}
	if _, err := l.CNITool(ctx, "check", tuned); err == nil {
		t.Error("CHECK does not come to the admin's plugin")
	}
	// An update of the shipped file leaves the admin's alone, and both apply.
	installed(t, l, "node-a", "--bandwidth")
	if again := add("again"); tcpFin(again) != "7" {
		t.Error("after an update the admin's plugin is gone")
	} else if err := l.DelPod(ctx, again); err != nil {
		t.Error(err)
	}
	for _, p := range []lab.Pod{plain, tuned} {
		if err := l.DelPod(ctx, p); err != nil {
			t.Error(err)
		}
	}
	clean(t, l, "node-a")
}
