package e2e

import (
	"context"
	"crypto/sha512"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/integration/lab"
	"github.com/vpcchain/vpcchain/integration/vpcsim/ec2"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// stockNode is a node as the stock AWS VPC CNI leaves it: two ENIs, their links
// set up, and pods with its veths, routes and rules, told of in its checkpoint.
type stockNode struct {
	t     *testing.T
	l     *lab.Lab
	name  string
	first ec2.Interface // the primary ENI
	other ec2.Interface
	pods  []lab.Pod
	lines []string // entries of the checkpoint
}

// sh runs a script on the node.
func (n *stockNode) sh(format string, args ...any) {
	n.t.Helper()
	script := fmt.Sprintf(format, args...)
	if _, err := n.l.Exec(n.t.Context(), n.name, "sh", "-ec", script); err != nil {
		n.t.Fatalf("%s: %v", script, err)
	}
}

// enis are the node's, by device.
func (n *stockNode) enis() []ec2.Interface {
	n.t.Helper()
	var all []ec2.Interface
	if err := n.l.Sim(n.t.Context(), &all, "enis"); err != nil {
		n.t.Fatal(err)
	}
	all = slices.DeleteFunc(all, func(i ec2.Interface) bool { return i.Host != n.name })
	slices.SortFunc(all, func(a, b ec2.Interface) int { return a.Device - b.Device })
	return all
}

// newStockNode makes the ENIs, by a daemon that leaves the kernel alone, and sets
// the links up: an address, a table and a rule 32765 for the second one, SNAT.
func newStockNode(t *testing.T, l *lab.Lab) *stockNode {
	t.Helper()
	n := &stockNode{t: t, l: l, name: "node-a"}
	n.sh("mkdir /run/other")
	maker, err := l.Start(n.name, []string{"MINIMUM_IP_TARGET=12"}, l.Bin("vpc-ipamd"), "--no-host", "--state-dir", "/run/other", "--socket", "/run/other/ipamd.sock")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err = lab.Poll(ctx, func() error {
		if list := n.enis(); len(list) == 2 && len(list[0].Addresses)+len(list[1].Addresses) == 12 {
			n.first, n.other = list[0], list[1]
			return nil
		}
		return fmt.Errorf("the ENIs are not there: %s", maker.Log())
	})
	_ = maker.Stop(syscall.SIGTERM)
	if err != nil {
		t.Fatal(err)
	}
	n.sh(`rm -r /run/other
sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.eth0.rp_filter=2
ip link set eth0 mtu 9001
ip link set eth1 mtu 9001 up
ip addr add %[1]s/24 dev eth1
ip route add 10.20.11.1/32 dev eth1 scope link table 2
ip route add default via 10.20.11.1 dev eth1 table 2
ip route del 10.20.11.0/24 dev eth1 table main
ip rule add from %[1]s lookup 2 priority 32765 protocol 0
ip rule add fwmark 0x80/0x80 lookup main priority 1024 protocol 0
iptables -t nat -N AWS-SNAT-CHAIN-0
iptables -t nat -A POSTROUTING -m comment --comment "AWS SNAT CHAIN" -j AWS-SNAT-CHAIN-0
iptables -t nat -A AWS-SNAT-CHAIN-0 -d 10.20.0.0/16 -m comment --comment "AWS SNAT CHAIN" -j RETURN
iptables -t nat -A AWS-SNAT-CHAIN-0 -d 100.64.0.0/16 -m comment --comment "AWS SNAT CHAIN" -j RETURN
iptables -t nat -A AWS-SNAT-CHAIN-0 ! -o vlan+ -m comment --comment "AWS, SNAT" -m addrtype ! --dst-type LOCAL -j SNAT --to-source 10.20.11.162 --random-fully`, n.other.Primary)
	return n
}

// containerOf is the id that cnitool makes of the namespace, and so the one that
// the stock daemon would have been told.
func containerOf(p lab.Pod) string {
	sum := sha512.Sum512([]byte(p.Netns()))
	return fmt.Sprintf("cnitool-%x", sum[:10])
}

// pod wires a pod as the stock plugin does: the route in main, a rule 512 to the
// address, a rule 1536 from it when it is on the second ENI.
func (n *stockNode) pod(name string, addr netip.Addr) lab.Pod {
	n.t.Helper()
	p := lab.Pod{Node: n.name, Network: "vpc", Name: name, Addr: addr, HostEnd: vpcnet.HostVethName("eni", "default", name, "", "eth0")}
	n.sh(`ip netns add %[1]s
ip -n %[1]s link set lo up
ip link add %[2]s mtu 9001 type veth peer name eth0 netns %[1]s mtu 9001
ip link set %[2]s up
ip -n %[1]s link set eth0 up
ip -n %[1]s route add 169.254.1.1 dev eth0 scope link
ip -n %[1]s route add default via 169.254.1.1 dev eth0
ip -n %[1]s addr add %[3]s/32 dev eth0
ip -n %[1]s neigh add 169.254.1.1 lladdr $(cat /sys/class/net/%[2]s/address) nud permanent dev eth0
ip route add %[3]s/32 dev %[2]s scope link
ip rule add to %[3]s/32 lookup main priority 512 protocol 0`, name, p.HostEnd, addr)
	if slices.Contains(n.other.Addresses, addr) {
		n.sh("ip rule add from %s/32 lookup 2 priority 1536 protocol 0", addr)
	}
	n.entry(p)
	n.pods = append(n.pods, p)
	return p
}

// entry writes the pod into the checkpoint.
func (n *stockNode) entry(p lab.Pod) {
	n.lines = append(n.lines, fmt.Sprintf(`{"networkName":"aws-cni","containerID":%q,"ifName":"eth0","ipv4":%q,"allocationTimestamp":%d,`+
		`"metadata":{"k8sPodNamespace":"default","k8sPodName":%q,"interfacesCount":1}}`, containerOf(p), p.Addr, time.Now().UnixNano(), p.Name))
}

func (n *stockNode) checkpoint() {
	n.t.Helper()
	n.sh("mkdir -p /var/run/aws-node && cat > /var/run/aws-node/ipam.json <<'EOF'\n{\"version\":\"vpc-cni-ipam/1\",\"allocations\":[%s]}\nEOF", strings.Join(n.lines, ","))
}

// cached is the result that libcni keeps of the stock plugin's ADD: the mac of
// the pod's interface is a table, and the last interface tells of a VLAN.
func (n *stockNode) cached(p lab.Pod) {
	n.t.Helper()
	result := map[string]any{
		"cniVersion": "0.4.0",
		"interfaces": []map[string]any{
			{"name": p.HostEnd},
			{"name": "eth0", "mac": "254", "sandbox": p.Netns()},
			{"name": "dummy" + strings.TrimPrefix(p.HostEnd, "eni"), "mac": "0", "sandbox": "0"},
		},
		"ips": []map[string]any{{"version": "4", "address": p.Addr.String() + "/32", "interface": 1}},
	}
	raw, err := json.Marshal(map[string]any{
		"kind": "cniCacheV1", "containerId": containerOf(p), "config": []byte("{}"), "ifName": "eth0", "networkName": "aws-cni", "netns": p.Netns(), "result": result,
	})
	if err != nil {
		n.t.Fatal(err)
	}
	n.sh("mkdir -p /var/lib/cni/results && cat > /var/lib/cni/results/aws-cni-%s-eth0 <<'EOF'\n%s\nEOF", containerOf(p), raw)
}

// A node switches over from the stock AWS VPC CNI with its pods running: their
// addresses are theirs, connections go on, nobody else gets an address of theirs,
// and their DEL gives it back. The runtime may go on under another network's
// name, or under the stock one's, with the stock plugin's cached results.
func TestSwitchFromStockCNI(t *testing.T) {
	for _, tc := range []struct{ name, network string }{
		{"another name", "vpc"},
		{"the stock name", "aws-cni"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := up(t, "")
			n := newStockNode(t, l)
			near, far := n.pod("near", n.first.Addresses[3]), n.pod("far", n.other.Addresses[1])
			n.pod("third", n.first.Addresses[0])
			// An entry whose pod has died: its address is free.
			n.entry(lab.Pod{Node: n.name, Name: "dead", Addr: n.other.Addresses[0]})
			n.checkpoint()
			serve(t, l, lab.HostEnd("node-b"), 8080)
			remote := netip.AddrPortFrom(netip.MustParseAddr("10.20.12.45"), 8080)
			var holds []*lab.Hold
			for _, p := range []lab.Pod{near, far} {
				h, err := l.Hold(t.Context(), lab.PodEnd(p), remote)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(h.Close)
				if got := h.Seen.Client.Addr(); got != p.Addr {
					t.Fatalf("node-b sees %s instead of %s: the node is not as the stock CNI leaves it", got, p.Addr)
				}
				holds = append(holds, h)
			}
			for i := range n.pods {
				n.pods[i].Network = tc.network
			}
			if tc.network == "aws-cni" {
				conflist(t, l, n.name, renamed(t, chain, tc.network))
				n.cached(near)
				n.cached(far)
			} else {
				conflist(t, l, n.name, chain)
			}
			n.switchOver(tc.network, holds)
		})
	}
}

// switchOver starts our daemon and lives with it until the last pod is gone.
func (n *stockNode) switchOver(network string, holds []*lab.Hold) {
	t, ctx := n.t, n.t.Context()
	t.Helper()
	const env = "IP_COOLDOWN_PERIOD=1"
	d := daemon(t, n.l, n.name, env)
	n.wantHeld(len(n.pods)) // the dead one is not taken over
	n.talk(holds)
	pods := slices.Clone(n.pods)
	for i := range 10 {
		p, err := n.l.AddPod(ctx, n.name, network, fmt.Sprintf("new%d", i))
		if err != nil {
			t.Fatal(err)
		}
		pods = append(pods, p)
	}
	unique(t, pods)
	n.talk(holds)
	// The checkpoint is old from now on: the next daemon does not read it again.
	if err := n.l.DelPod(ctx, n.pods[2]); err != nil {
		t.Error(err)
	}
	pods, n.pods = slices.Delete(pods, 2, 3), n.pods[:2]
	_ = d.Stop(syscall.SIGKILL)
	daemon(t, n.l, n.name, env)
	n.wantHeld(len(pods))
	n.talk(holds)
	for _, p := range pods {
		if err := n.l.DelPod(ctx, p); err != nil {
			t.Error(err)
		}
	}
	clean(t, n.l, n.name)
	if rules, err := n.l.Exec(ctx, n.name, "ip", "rule", "show", "priority", "512"); err != nil || strings.Count(rules, "\n") != 1 {
		t.Errorf("rules 512 are left: %v\n%s", err, rules)
	}
}

// wantHeld: the pool has each stock pod with its address, under its container
// id, and so many pods in all.
func (n *stockNode) wantHeld(used int) {
	n.t.Helper()
	pool, err := n.l.Pool(n.t.Context(), n.name)
	if err != nil {
		n.t.Fatal(err)
	}
	held := map[string]string{}
	for _, e := range pool.ENIs {
		for _, a := range e.Addresses {
			if a.State == "used" {
				held[a.Address] = a.ContainerID
			}
		}
	}
	for _, p := range n.pods {
		if held[p.Addr.String()] != containerOf(p) {
			n.t.Errorf("%s of %s is held by %q", p.Addr, p.Name, held[p.Addr.String()])
		}
	}
	if pool.Used != used {
		n.t.Errorf("%d addresses are used, want %d", pool.Used, used)
	}
}

// talk: packets go between the pods, the node and another node, and connections
// from before the switch are alive.
func (n *stockNode) talk(holds []*lab.Hold) {
	n.t.Helper()
	ctx := n.t.Context()
	for _, h := range holds {
		if err := h.Alive(ctx); err != nil {
			n.t.Errorf("a connection of before: %v", err)
		}
	}
	for i, p := range n.pods {
		for _, from := range []lab.End{lab.HostEnd("node-b"), lab.HostEnd(n.name), lab.PodEnd(n.pods[(i+1)%len(n.pods)])} {
			if err := n.l.Ping(ctx, from, p.Addr); err != nil {
				n.t.Errorf("%v to %s: %v", from, p.Name, err)
			}
		}
	}
}
