package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpcchain/vpcchain/integration/lab"
)

// Directories of an installation on a simulated node. /opt is the machine's own
// there, /run and /etc are not.
const (
	nodeBin  = "/run/cni/bin"
	nodeConf = "/etc/cni/net.d"
)

// vpcctlInstall runs the real installer on node, with the project's and the
// upstream plugins as the source.
func vpcctlInstall(t testing.TB, l *lab.Lab, node string, args ...string) (string, error) {
	t.Helper()
	bin := binDir(t)
	full := append([]string{l.Bin("vpcctl"), "install", "--source=" + bin + ":" + filepath.Join(bin, "cni"), "--bin-dir=" + nodeBin, "--wait=30s"}, args...)
	return l.Exec(t.Context(), node, full...)
}

func installed(t testing.TB, l *lab.Lab, node string, args ...string) {
	t.Helper()
	if out, err := vpcctlInstall(t, l, node, args...); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// snapshot is everything on a node that the chain may change, by subject.
func snapshot(t testing.TB, l *lab.Lab, node string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for name, command := range map[string]string{
		"rules":    "ip -4 rule",
		"routes":   "ip -4 route show table all",
		"addrs":    "ip -4 -br addr",
		"links":    "ip -br link show up; ip -br link show type veth | grep ^eni",
		"iptables": "iptables-save -t nat | grep -v ^#; iptables-save -t mangle | grep -v ^#",
		"nft":      "nft list tables | grep vpc-snat",
		"sysctls":  "cd /proc/sys/net/ipv4; grep . ip_forward conf/eth0/rp_filter tcp_early_demux udp_early_demux",
		"files":    "find /run/vpc-cni " + nodeBin + " " + nodeConf + " /etc/iproute2/rt_tables.d -type f 2>/dev/null | sort",
	} {
		text, _ := l.Exec(t.Context(), node, "sh", "-c", command) // a grep that finds nothing is an answer
		out[name] = text
	}
	return out
}

// prepared is a node with what a distribution and others leave there: upstream
// plugins, another conflist, somebody's rules. iptables has been used.
func prepared(t testing.TB, l *lab.Lab, node string) {
	t.Helper()
	for _, command := range []string{
		"mkdir -p " + nodeBin + " " + nodeConf + " /etc/iproute2/rt_tables.d",
		"echo old > " + nodeBin + "/portmap; chmod 755 " + nodeBin + "/portmap",
		`echo '{"cniVersion": "0.4.0", "name": "aws-cni", "plugins": [{"type": "aws-cni"}]}' > ` + nodeConf + "/10-aws.conflist",
		"ip rule add from 192.0.2.1 lookup main priority 1536; ip route add 192.0.2.0/24 dev eth0 table 77",
		"iptables -t nat -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE; iptables -t mangle -N other",
	} {
		if _, err := l.Exec(t.Context(), node, "sh", "-c", command); err != nil {
			t.Fatal(err)
		}
	}
}

// Onto a node, pods on two ENIs, off again: the node is as it was before. While
// the daemon runs, or pods do, uninstall refuses and changes nothing.
func TestInstallAndUninstall(t *testing.T) {
	l := up(t, "")
	ctx := t.Context()
	prepared(t, l, "node-a")
	before := snapshot(t, l, "node-a")
	if out, err := vpcctlInstall(t, l, "node-a", "--wait=300ms"); err == nil || !strings.Contains(err.Error(), "vpc-ipamd") {
		t.Errorf("without the daemon: %v\n%s", err, out)
	}
	if _, err := l.Exec(ctx, "node-a", "test", "!", "-e", nodeConf+"/10-vpc.conflist"); err != nil {
		t.Error("the conflist is there before the daemon serves")
	}
	d := daemon(t, l, "node-a", "IP_COOLDOWN_PERIOD=1")
	installed(t, l, "node-a", "--retire=10-aws.conflist")
	if out, err := vpcctlInstall(t, l, "node-a", "--retire=10-aws.conflist"); err != nil || out != "" {
		t.Errorf("the second run did %s, %v", out, err)
	}
	l.CNIPath = nodeBin
	var pods []lab.Pod
	for i := range 12 {
		p, err := l.AddPod(ctx, "node-a", "vpc", fmt.Sprint("pod", i))
		if err != nil {
			t.Fatal(err)
		}
		pods = append(pods, p)
	}
	if err := l.Ping(ctx, lab.HostEnd("node-b"), pods[11].Addr); err != nil {
		t.Errorf("a pod on the second ENI: %v", err)
	}
	if out, err := l.Exec(ctx, "node-a", "ip", "route", "show", "table", "vpc-pods"); err != nil || strings.Count(out, "dev eni") != 12 {
		t.Errorf("table vpc-pods has %s, %v", out, err)
	}
	uninstall := func(args ...string) (string, error) {
		return l.Exec(ctx, "node-a", append([]string{l.Bin("vpcctl"), "uninstall", "--bin-dir=" + nodeBin}, args...)...)
	}
	if out, err := uninstall(); err == nil || !strings.Contains(err.Error(), "stop vpc-ipamd first") {
		t.Errorf("while the daemon runs: %v\n%s", err, out)
	}
	if err := d.Stop(syscall.SIGKILL); err == nil {
		t.Error("a killed daemon ended well")
	}
	during := snapshot(t, l, "node-a") // before, the pool may still grow
	if out, err := uninstall(); err == nil || !strings.Contains(err.Error(), "12 pods use this chain") || !strings.Contains(err.Error(), "--force") {
		t.Errorf("while pods run: %v\n%s", err, out)
	}
	dry, err := uninstall("--dry-run")
	if err != nil || !strings.Contains(dry, "rule del 512") || !strings.Contains(dry, "AWS-SNAT-CHAIN-0") {
		t.Errorf("the dry run says %s, %v", dry, err)
	}
	if diff := cmp.Diff(during, snapshot(t, l, "node-a")); diff != "" {
		t.Errorf("a refused or dry run changed (-before +after):\n%s", diff)
	}
	for _, p := range pods {
		// The daemon is dead: the release waits in the spool, which uninstall takes, too.
		if err := l.DelPod(ctx, p); err != nil {
			t.Error(err)
		}
	}
	if out, err := uninstall("--force"); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	after := snapshot(t, l, "node-a")
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("left on the node (-before +after):\n%s", diff)
	}
	if out, err := uninstall(); err != nil || strings.TrimSpace(out) != "note: "+nodeBin+" has no record of an installation: plugins and conflists stay as they are" {
		t.Errorf("the second run says %s, %v", out, err)
	}
	if diff := cmp.Diff(before, snapshot(t, l, "node-a")); diff != "" {
		t.Errorf("the second run left (-before +after):\n%s", diff)
	}
	// And a daemon that starts again finds a node to begin with.
	daemon(t, l, "node-a")
	installed(t, l, "node-a")
	if _, err := l.AddPod(ctx, "node-a", "vpc", "again"); err != nil {
		t.Error(err)
	}
}

// By force: running pods lose their network, and nothing of them is left.
func TestUninstallByForce(t *testing.T) {
	l := up(t, "")
	ctx := t.Context()
	prepared(t, l, "node-a")
	before := snapshot(t, l, "node-a")
	d := daemon(t, l, "node-a", "AWS_EXTERNAL_SERVICE_CIDRS=198.51.100.0/24")
	installed(t, l, "node-a", "--snat-backend=nftables")
	l.CNIPath = nodeBin
	for i := range 11 {
		if _, err := l.AddPod(ctx, "node-a", "vpc", fmt.Sprint("pod", i)); err != nil {
			t.Fatal(err)
		}
	}
	_ = d.Stop(syscall.SIGTERM)
	out, err := l.Exec(ctx, "node-a", l.Bin("vpcctl"), "uninstall", "--bin-dir="+nodeBin, "--force")
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if n := strings.Count(out, "link del eni"); n != 11 {
		t.Errorf("%d links were removed:\n%s", n, out)
	}
	if diff := cmp.Diff(before, snapshot(t, l, "node-a")); diff != "" {
		t.Errorf("left on the node (-before +after):\n%s", diff)
	}
}

// A second run with another setting changes the conflist of a live node: the next
// pod has it, and the runtime never sees half a file.
func TestInstallChangesLive(t *testing.T) {
	l := up(t, "")
	ctx := t.Context()
	daemon(t, l, "node-a")
	l.CNIPath = nodeBin
	for i, args := range [][]string{{"--mtu=1500"}, {"--mtu=1400", "--bandwidth"}} {
		installed(t, l, "node-a", args...)
		p, err := l.AddPod(ctx, "node-a", "vpc", fmt.Sprint("pod", i))
		if err != nil {
			t.Fatal(err)
		}
		mtu, err := l.Exec(ctx, "node-a", "cat", "/sys/class/net/"+p.HostEnd+"/mtu")
		if err != nil || strings.TrimSpace(mtu) != strings.TrimPrefix(args[0], "--mtu=") {
			t.Errorf("%v: the pod's link has MTU %s, %v", args, mtu, err)
		}
		if p.Result.CNIVersion != "1.1.0" {
			t.Errorf("cnitool took version %s of the conflist", p.Result.CNIVersion)
		}
	}
	raw, err := os.ReadFile(filepath.Join(l.RunDir("node-a"), "cni", "bin", ".vpcchain.json"))
	if err != nil || !strings.Contains(string(raw), "bandwidth") {
		t.Errorf("the record is %s, %v", raw, err)
	}
}
