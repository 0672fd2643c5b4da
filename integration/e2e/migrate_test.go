package e2e

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/vpcchain/vpcchain/integration/lab"
)

// docs/migrate.md on a node with pods and open connections: from the stock AWS
// VPC CNI to this chain by vpcctl install, back by vpcctl uninstall --to-stock,
// and here once more, all the while with the same connections.
func TestMigrateAndBack(t *testing.T) {
	l := up(t, "")
	ctx := t.Context()
	n := newStockNode(t, l)
	n.sh(`mkdir -p %[1]s && echo '{"cniVersion": "0.4.0", "name": "aws-cni", "plugins": [{"type": "aws-cni"}]}' > %[1]s/10-aws.conflist`, nodeConf)
	near, far := n.pod("near", n.first.Addresses[3]), n.pod("far", n.other.Addresses[1])
	n.checkpoint()
	serve(t, l, lab.HostEnd("node-b"), 8080)
	serve(t, l, lab.HostEnd("web"), 8080)
	var holds []*lab.Hold
	for _, p := range []lab.Pod{near, far} {
		h, err := l.Hold(ctx, lab.PodEnd(p), netip.MustParseAddrPort("10.20.12.45:8080"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(h.Close)
		holds = append(holds, h)
	}
	monitor, err := l.Start(n.name, nil, "stdbuf", "-oL", "ip", "monitor", "rule")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = monitor.Stop(syscall.SIGKILL) })

	d := daemon(t, l, n.name, "IP_COOLDOWN_PERIOD=1")
	l.CNIPath = nodeBin
	installed(t, l, n.name, "--retire=10-aws.conflist")
	for i := range n.pods {
		n.pods[i].Network = "vpc"
	}
	n.talk(holds)
	n.adopted(monitor.Log(), far)
	for i := range 8 {
		p, err := l.AddPod(ctx, n.name, "vpc", fmt.Sprint("new", i))
		if err != nil {
			t.Fatal(err)
		}
		n.pods = append(n.pods, p)
	}
	n.talk(holds)

	if err := d.Stop(syscall.SIGTERM); err != nil {
		t.Errorf("the daemon ended with %v", err)
	}
	out, err := l.Exec(ctx, n.name, l.Bin("vpcctl"), "uninstall", "--bin-dir="+nodeBin, "--to-stock")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	n.talk(holds)
	n.looksStock()
	for _, p := range n.pods {
		seen, err := l.Dial(ctx, lab.PodEnd(p), netip.MustParseAddrPort("52.78.83.169:8080"))
		if err != nil || seen.Client.Addr().String() != publicNode {
			t.Errorf("%s to the internet: %v, %v", p.Name, seen.Client, err)
		}
	}

	// Here again: the checkpoint that was written is one that can be read.
	daemon(t, l, n.name, "IP_COOLDOWN_PERIOD=1")
	n.wantHeld(len(n.pods))
	installed(t, l, n.name, "--retire=10-aws.conflist")
	n.talk(holds)
	for _, p := range n.pods {
		if err := l.DelPod(ctx, p); err != nil {
			t.Error(err)
		}
	}
	clean(t, l, n.name)
	if rules, err := l.Exec(ctx, n.name, "ip", "rule", "show", "priority", "512"); err != nil || strings.Count(rules, "\n") != 1 {
		t.Errorf("rules 512 are left: %v\n%s", err, rules)
	}
}

// adopted: of each rule that the stock CNI had and ours replaces, ours came first.
func (n *stockNode) adopted(log string, far lab.Pod) {
	n.t.Helper()
	lines := strings.Split(log, "\n")
	for _, content := range []string{"from " + far.Addr.String() + " lookup 2", "from " + n.other.Primary.String() + " lookup 2"} {
		ours := slices.IndexFunc(lines, func(l string) bool {
			return strings.Contains(l, content+" ") && strings.Contains(l, "proto 86") && !strings.HasPrefix(l, "Deleted")
		})
		theirs := slices.IndexFunc(lines, func(l string) bool {
			return strings.Contains(l+" ", content+" ") && strings.HasPrefix(l, "Deleted") && !strings.Contains(l, "proto 86")
		})
		if ours < 0 || theirs < 0 || theirs < ours {
			n.t.Errorf("%q: ours is line %d, the removal of the stock CNI's line %d of\n%s", content, ours, theirs, log)
		}
	}
}

// looksStock compares the node with section "what the stock CNI leaves", and
// finds nothing of ours.
func (n *stockNode) looksStock() {
	t, ctx := n.t, n.t.Context()
	t.Helper()
	read := func(command string) string {
		out, err := n.l.Exec(ctx, n.name, "sh", "-c", command)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if left := read("(ip rule; ip route show table all; nft list tables) | grep -E 'proto 86|lookup 5120|table 5120|vpc-snat' || true"); left != "" {
		t.Errorf("left of ours:\n%s", left)
	}
	rules, routes := read("ip rule"), read("ip route")
	for _, p := range n.pods {
		if want := "from all to " + p.Addr.String() + " lookup main"; strings.Count(rules, want) != 1 {
			t.Errorf("rules have not once %q:\n%s", want, rules)
		}
		second := slices.Contains(n.other.Addresses, p.Addr)
		if want := "1536:\tfrom " + p.Addr.String() + " lookup 2"; strings.Contains(rules, want) != second {
			t.Errorf("%s: rules have %q: %t\n%s", p.Name, want, !second, rules)
		}
		if want := p.Addr.String() + " dev " + p.HostEnd + " scope link"; !strings.Contains(routes, want) {
			t.Errorf("table main lacks %q:\n%s", want, routes)
		}
	}
	for _, want := range []string{"1024:\tfrom all fwmark 0x80/0x80 lookup main", "32765:\tfrom " + n.other.Primary.String() + " lookup 2"} {
		if strings.Count(rules, want) != 1 {
			t.Errorf("rules have not once %q:\n%s", want, rules)
		}
	}
	nat := read("iptables -t nat -S")
	for _, want := range []string{
		`-A POSTROUTING -m comment --comment "AWS SNAT CHAIN" -j AWS-SNAT-CHAIN-0`,
		`-A AWS-SNAT-CHAIN-0 -d 100.64.0.0/16 -m comment --comment "AWS SNAT CHAIN" -j RETURN`,
		`-A AWS-SNAT-CHAIN-0 ! -o vlan+ -m comment --comment "AWS, SNAT" -m addrtype ! --dst-type LOCAL -j SNAT --to-source 10.20.11.162 --random-fully`,
		`-A PREROUTING -i eni+ -m comment --comment "AWS, outbound connections" -j AWS-CONNMARK-CHAIN-0`,
	} {
		if !strings.Contains(nat, want+"\n") {
			t.Errorf("the nat table lacks %q:\n%s", want, nat)
		}
	}
	if mangle := read("iptables -t mangle -S"); !strings.Contains(mangle, "-i eth0") || !strings.Contains(mangle, "--set-xmark 0x80/0x80") {
		t.Errorf("the mangle table is %s", mangle)
	}
	if files := read("ls " + nodeConf); !strings.Contains(files, "10-aws.conflist\n") || strings.Contains(files, "10-vpc.conflist") {
		t.Errorf("conflists are %s", files)
	}
}
