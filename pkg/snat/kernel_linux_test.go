package snat

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// inNetns runs the test on a thread with a network namespace of its own, which
// goes with the thread.
func inNetns(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		const reason = "needs root: it writes rules"
		if strings.Contains(os.Getenv("VPCCHAIN_REQUIRE"), "root") {
			t.Fatal(reason)
		}
		t.Skip(reason)
	}
	runtime.LockOSThread() // never unlocked: the thread ends with the test
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	run(t, "ip", "link", "set", "lo", "up")
}

func run(t testing.TB, args ...string) string {
	t.Helper()
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput() //nolint:gosec // the test's own words
	if err != nil {
		t.Fatalf("%s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// iptablesIs makes "iptables" the command of one flavour for this process.
func iptablesIs(t *testing.T, flavour string) {
	t.Helper()
	dir := t.TempDir()
	for _, suffix := range []string{"", "-restore", "-save"} {
		path, err := exec.LookPath("iptables-" + flavour + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if path, err = filepath.EvalSymlinks(path); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(dir, "iptables"+suffix)); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

func eachFlavour(t *testing.T, f func(t *testing.T)) {
	for _, name := range []string{"nft", "legacy"} {
		t.Run(name, func(t *testing.T) {
			iptablesIs(t, name)
			inNetns(t)
			f(t)
		})
	}
}

// nat is what the nat table has, without policies.
func nat(t testing.TB) string {
	t.Helper()
	var out []string
	for l := range strings.Lines(run(t, "iptables", "-t", "nat", "-S")) {
		if !strings.HasPrefix(l, "-P") && !strings.HasPrefix(l, "#") {
			out = append(out, strings.TrimSpace(l))
		}
	}
	return strings.Join(out, "\n")
}

func fixed(s Settings) func() (Settings, error) { return func() (Settings, error) { return s, nil } }

func ensure(t testing.TB, k *Keeper, s Settings) []string {
	t.Helper()
	changed, err := k.Ensure(fixed(s))
	if err != nil {
		t.Fatal(err)
	}
	return changed
}

func TestEnsure(t *testing.T) {
	eachFlavour(t, func(t *testing.T) {
		k := New(t.TempDir())
		s := scenario(t)
		if len(ensure(t, k, s)) == 0 {
			t.Error("an empty kernel was right")
		}
		want := `-N AWS-SNAT-CHAIN-0
-N AWS-SNAT-CHAIN-1
-N AWS-SNAT-CHAIN-2
-A POSTROUTING -m comment --comment "AWS SNAT CHAIN" -j AWS-SNAT-CHAIN-0
-A AWS-SNAT-CHAIN-0 ! -d 10.20.0.0/16 -m comment --comment "AWS SNAT CHAIN" -j AWS-SNAT-CHAIN-1
-A AWS-SNAT-CHAIN-1 ! -d 100.64.0.0/16 -m comment --comment "AWS SNAT CHAIN" -j AWS-SNAT-CHAIN-2
-A AWS-SNAT-CHAIN-2 ! -o vlan+ -m comment --comment "AWS, SNAT" -m addrtype ! --dst-type LOCAL -j SNAT --to-source 10.20.11.162 --random-fully`
		if diff := cmp.Diff(want, nat(t)); diff != "" {
			t.Error(diff)
		}
		if rules := run(t, "ip", "rule"); !strings.Contains(rules, "1024:\tfrom all fwmark 0x80/0x80 lookup main") {
			t.Errorf("rules: %s", rules)
		}
		if err := k.Check(s); err != nil {
			t.Errorf("CHECK: %v", err)
		}
		before := run(t, "nft", "-a", "list", "ruleset")
		if changed := ensure(t, k, s); len(changed) > 0 {
			t.Errorf("the second time changed %v", changed)
		}
		// A daemon that has lost its records touches nothing that is right.
		if changed := ensure(t, New(t.TempDir()), s); len(changed) > 0 {
			t.Errorf("without records it changed %v", changed)
		}
		if diff := cmp.Diff(before, run(t, "nft", "-a", "list", "ruleset")); diff != "" {
			t.Error(diff)
		}
	})
}

// Every way from one setting to another ends in what a fresh node would have.
func TestTransitions(t *testing.T) {
	all := map[string]Texts{
		"default": {}, "three": {"vpcCIDRs": "10.20.0.0/16,10.30.0.0/16,100.64.0.0/16"},
		"flat, excluded": {"chainStyle": "flat", "excludeSNATCIDRs": "192.0.2.0/24,0.0.0.0/0"},
		"external":       {"externalSNAT": "true"}, "nothing": {"externalSNAT": "true", "nodePortSupport": "false"},
		"nftables": {"backend": "nftables"}, "mark": {"connmark": "0x100", "randomizeSNAT": "none"},
		"excluded": {"excludeSNATCIDRs": "0.0.0.0/0"},
	}
	eachFlavour(t, func(t *testing.T) {
		k := New(t.TempDir())
		var done []Texts
		for name, a := range all {
			ensure(t, k, scenario(t, a))
			for _, b := range done {
				for _, next := range []Texts{b, a} { // there and back
					ensure(t, k, scenario(t, next))
					if err := k.Check(scenario(t, next)); err != nil {
						t.Fatalf("between %s (%v) and %v, to %v: %v", name, a, b, next, err)
					}
				}
			}
			done = append(done, a)
		}
		ensure(t, k, scenario(t, all["nothing"]))
		left := nat(t) + run(t, "iptables", "-t", "mangle", "-S", "PREROUTING")
		if regexp.MustCompile(`AWS`).MatchString(left) || strings.Contains(run(t, "nft", "list", "tables"), tableName) || strings.Contains(run(t, "ip", "rule"), "1024:") {
			t.Errorf("left when nothing is wanted: %s", left)
		}
	})
}

// What is done by hand is undone, and foreign rules stay.
func TestHeals(t *testing.T) {
	eachFlavour(t, func(t *testing.T) {
		k, s := New(t.TempDir()), scenario(t)
		run(t, "iptables", "-t", "nat", "-A", "POSTROUTING", "-s", "10.20.0.9", "-j", "MASQUERADE")
		ensure(t, k, s)
		for _, by := range []string{
			"iptables -t nat -D POSTROUTING 2", "iptables -t nat -F AWS-SNAT-CHAIN-1", "iptables -t nat -F",
			"iptables -t nat -I AWS-SNAT-CHAIN-2 -j RETURN", "iptables -t nat -A POSTROUTING -m comment --comment 'AWS SNAT CHAIN' -j AWS-SNAT-CHAIN-2",
			"nft delete table ip vpc-snat", "nft flush chain ip vpc-snat outbound", "nft delete element ip vpc-snat internal { 100.64.0.0/16 }",
			"ip rule del priority 1024",
		} {
			run(t, "sh", "-c", by)
			// Legacy iptables have no generation: an ADD trusts the record, the daemon drops it.
			_ = os.Remove(k.verifiedPath())
			if changed := ensure(t, k, s); len(changed) == 0 {
				t.Errorf("%s: nothing was repaired", by)
			}
			if err := k.Check(s); err != nil {
				t.Errorf("%s: %v", by, err)
			}
		}
		run(t, "iptables", "-t", "nat", "-C", "POSTROUTING", "-m", "comment", "--comment", "AWS SNAT CHAIN", "-j", "AWS-SNAT-CHAIN-0")
	})
}

// On nf_tables an Ensure alone notices: no record has to be dropped.
func TestNoticesByGeneration(t *testing.T) {
	iptablesIs(t, "nft")
	inNetns(t)
	k, s := New(t.TempDir()), scenario(t)
	ensure(t, k, s)
	run(t, "iptables", "-t", "nat", "-A", "OUTPUT", "-j", "RETURN") // another program's
	if changed := ensure(t, k, s); len(changed) > 0 {
		t.Errorf("another program's rule made it change %v", changed)
	}
	for _, by := range []string{"iptables -t nat -F", "nft delete table ip vpc-snat", "iptables -t nat -F AWS-SNAT-CHAIN-2", "nft flush ruleset"} {
		run(t, strings.Split(by, " ")...)
		if changed := ensure(t, k, s); len(changed) == 0 {
			t.Errorf("%s was not noticed", by)
		}
	}
}

// What a stock aws-node left behind goes, in both flavours.
func TestLeftovers(t *testing.T) {
	eachFlavour(t, func(t *testing.T) {
		other := map[bool]string{true: "iptables-nft", false: "iptables-legacy"}[strings.Contains(run(t, "iptables", "--version"), "legacy")]
		for _, cmd := range []string{"iptables", other} {
			for _, l := range []string{
				"-t nat -N AWS-SNAT-CHAIN-0", "-t nat -N AWS-SNAT-CHAIN-7", "-t nat -N AWS-CONNMARK-CHAIN-0",
				"-t nat -A AWS-SNAT-CHAIN-0 -d 10.20.0.0/16 -m comment --comment AWS_SNAT_CHAIN -j RETURN",
				"-t nat -A POSTROUTING -m comment --comment AWS_SNAT_CHAIN -j AWS-SNAT-CHAIN-0",
				"-t nat -A PREROUTING -i eni+ -m comment --comment AWS,_outbound_connections -j AWS-CONNMARK-CHAIN-0",
				"-t nat -A PREROUTING -m comment --comment AWS,_CONNMARK -j CONNMARK --restore-mark --mask 0x80",
				"-t mangle -A PREROUTING -i eni+ -m comment --comment AWS,_primary_ENI -j CONNMARK --restore-mark --mask 0x80",
			} {
				var args []string
				for w := range strings.FieldsSeq(l) {
					args = append(args, strings.ReplaceAll(w, "_", " "))
				}
				run(t, append([]string{cmd}, args...)...)
			}
		}
		run(t, "nft", "add", "table", "ip", "aws-cni")
		k, s := New(t.TempDir()), scenario(t)
		ensure(t, k, s)
		if err := k.Check(s); err != nil {
			t.Error(err)
		}
		for _, cmd := range []string{"iptables", other} {
			left := run(t, cmd, "-t", "nat", "-S") + run(t, cmd, "-t", "mangle", "-S")
			if m := regexp.MustCompile(`AWS-CONNMARK|AWS-SNAT-CHAIN-7|AWS, primary`).FindString(left); m != "" || cmd == other && strings.Contains(left, "AWS") {
				t.Errorf("%s has left: %s", cmd, left)
			}
		}
		if strings.Contains(run(t, "nft", "list", "tables"), "aws-cni") {
			t.Error("the stock table is left")
		}
	})
}

// Fifty at once on a flushed table: one of them makes the change, once.
func TestManyAtOnce(t *testing.T) {
	iptablesIs(t, "nft")
	inNetns(t)
	ns, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ns.Close() }()
	dir, s := t.TempDir(), scenario(t)
	ensure(t, New(dir), s)
	run(t, "iptables", "-t", "nat", "-F")
	var mu sync.Mutex
	writers := 0
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			runtime.LockOSThread()
			if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
				t.Error(err)
				return
			}
			changed, err := New(dir).Ensure(fixed(s))
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			}
			if len(changed) > 0 {
				writers++
			}
		})
	}
	wg.Wait()
	if writers != 1 {
		t.Errorf("%d of 50 wrote", writers)
	}
	if err := New(dir).Check(s); err != nil {
		t.Error(err)
	}
}

// The fallback of a kernel without nf_tables, as a plan: legacy iptables takes it.
func TestMarkInIPTables(t *testing.T) {
	iptablesIs(t, "legacy")
	inNetns(t)
	f, err := open("iptables")
	if err != nil {
		t.Fatal(err)
	}
	want := scenario(t).ipTables(true, true)
	for range 2 {
		have, err := f.read()
		if err != nil {
			t.Fatal(err)
		}
		if err := f.apply(want, have); err != nil {
			t.Fatal(err)
		}
	}
	have, err := f.read()
	if err != nil {
		t.Fatal(err)
	}
	if left := f.diff(want, have); len(left) > 0 {
		t.Errorf("legacy iptables prints it otherwise: %v", left)
	}
}
