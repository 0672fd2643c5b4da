package e2e

import (
	"encoding/json"
	"errors"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/vpcchain/vpcchain/integration/lab"
)

// checked is `vpcctl check --json`.
type checked struct {
	Differences []difference
	Fixed       []string
}

type difference struct {
	Object, Text string
	Repairable   bool
}

func (c checked) has(object string) bool {
	for _, d := range c.Differences {
		if strings.HasPrefix(d.Object, object) {
			return true
		}
	}
	return false
}

// check runs vpcctl check on node-a; its exit code must agree with what it lists.
func check(t *testing.T, l *lab.Lab, args ...string) checked {
	t.Helper()
	out, err := l.Exec(t.Context(), "node-a", append([]string{l.Bin("vpcctl"), "check", "--json"}, args...)...)
	var c checked
	if jerr := json.Unmarshal([]byte(out), &c); jerr != nil {
		t.Fatalf("%v, %v: %s", err, jerr, out)
	}
	code := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code = exit.ExitCode()
	}
	if want := min(len(c.Differences), 1); code != want {
		t.Errorf("exit code %d with %d differences: %+v", code, len(c.Differences), c)
	}
	return c
}

// damage is something planted: how, the object that check must name, and how to
// undo what --fix leaves to a person.
type damage struct{ name, how, object, undo string }

func damages(p lab.Pod) []damage {
	return []damage{
		{"rule 512", "ip rule del priority 512", "rule 512", ""},
		{"rule 1024", "ip rule del priority 1024", "rule 1024", ""},
		{"rule 1536", "while ip rule del priority 1536 2>/dev/null; do :; done", "rule 1536", ""},
		{"rule 32765", "ip rule del priority 32765", "rule 32765", ""},
		{"pod route", "ip route del " + p.Addr.String() + " table 5120", "pod route " + p.Addr.String(), ""},
		{"foreign route", "ip route add 10.99.0.0/16 dev eth0 table 5120", "table 5120", "ip route del 10.99.0.0/16 table 5120"},
		{"ENI table", "ip route del default table 2", "table 2", ""},
		{"SNAT chain", "iptables -t nat -F AWS-SNAT-CHAIN-0", "iptables table nat", ""},
		{"nft table", "nft delete table ip vpc-snat", "nftables table vpc-snat", ""},
		{"rp_filter", "echo 0 >/proc/sys/net/ipv4/conf/eth0/rp_filter", "sysctl net/ipv4/conf/eth0/rp_filter", ""},
		{"ip_forward", "echo 0 >/proc/sys/net/ipv4/ip_forward", "sysctl net/ipv4/ip_forward", ""},
		{"host veth", "ip link set " + p.HostEnd + " down", "host veth " + p.HostEnd, "ip link set " + p.HostEnd + " up"},
		{"ENI link", "ip link set eth1 down", "link eth1", ""},
		{"ENI address", "ip addr flush dev eth1", "link eth1", ""},
		{"pod's neighbour", "ip -n " + p.Name + " neigh del 169.254.1.1 dev eth0", "pod " + p.Addr.String(), "ip -n " + p.Name + " neigh replace 169.254.1.1 lladdr $(cat /sys/class/net/" + p.HostEnd + "/address) dev eth0 nud permanent"},
		{"pod's way out", "ip -n " + p.Name + " route del default", "pod " + p.Addr.String(), "ip -n " + p.Name + " route add default via 169.254.1.1 dev eth0"},
		{"foreign address", "ip addr add " + p.Addr.String() + "/24 dev eth1", "link eth1", ""},
	}
}

// Every kind of damage is found by name while no daemon can heal it, --fix
// repairs what it says it can, and a healthy node has nothing.
func TestCheckFindsDamage(t *testing.T) {
	l := up(t, "nat.yaml")
	d := daemon(t, l, "node-a")
	conflist(t, l, "node-a", chain)
	p := twoPods(t, l, "vpc")["eth1"]
	if c := check(t, l); len(c.Differences) > 0 {
		t.Errorf("a healthy node: %+v", c)
	}
	// A daemon that is only stopped: found as well, but not repaired beside it.
	d.Signal(syscall.SIGSTOP)
	plant(t, l, "ip rule del priority 512")
	if c := check(t, l); len(c.Differences) != 1 || !c.has("rule 512") {
		t.Errorf("beside a paused daemon: %+v", c)
	}
	if _, err := l.Exec(t.Context(), "node-a", l.Bin("vpcctl"), "check", "--fix"); err == nil || !strings.Contains(err.Error(), "let it go on") {
		t.Errorf("--fix beside a paused daemon: %v", err)
	}
	d.Signal(syscall.SIGCONT)
	if c := check(t, l, "--fix"); len(c.Differences) > 0 {
		t.Errorf("the daemon that went on has left %+v", c)
	}
	_ = d.Stop(syscall.SIGKILL)
	for _, x := range damages(p) {
		plant(t, l, x.how)
		c := check(t, l)
		if !c.has(x.object) {
			t.Errorf("%s: %q is not among %+v", x.name, x.object, c.Differences)
		}
		if x.undo != "" {
			if slices.ContainsFunc(c.Differences, func(d difference) bool { return d.Repairable && strings.HasPrefix(d.Object, x.object) }) {
				t.Errorf("%s is said to be repairable", x.name)
			}
			plant(t, l, x.undo)
		}
		if c = check(t, l, "--fix"); len(c.Differences) > 0 {
			t.Errorf("%s: --fix has left %+v", x.name, c)
		}
	}
}

func plant(t *testing.T, l *lab.Lab, how string) {
	t.Helper()
	if _, err := l.Exec(t.Context(), "node-a", "sh", "-c", how); err != nil {
		t.Fatal(err)
	}
}
