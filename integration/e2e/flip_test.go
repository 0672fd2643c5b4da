package e2e

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/integration/lab"
	"github.com/vpcchain/vpcchain/integration/scenario"
)

const (
	publicNode = "54.70.11.162" // node-a's primary address on the internet
	publicNAT  = "54.70.14.10"  // the NAT gateway's
)

// The operator flips EXTERNALSNAT, to true and back, under traffic: connections
// that are established keep their address and go on, every new one succeeds with
// the old source or the new, and once the flip is done with the new.
func TestExternalSNATFlip(t *testing.T) {
	l := up(t, "nat.yaml")
	env, err := scenario.CustomNetworking(t.Context(), l, "node-a")
	if err != nil {
		t.Fatal(err)
	}
	setting := func(external string) []string { return append(env, "AWS_VPC_K8S_CNI_EXTERNALSNAT="+external) }
	d := daemon(t, l, "node-a", setting("false")...)
	conflist(t, l, "node-a", chain)
	p, err := l.AddPod(t.Context(), "node-a", "vpc", "pod")
	if err != nil {
		t.Fatal(err)
	}
	serve(t, l, lab.HostEnd("web"), 8080)
	web := netip.MustParseAddrPort("52.78.83.169:8080")
	var holds []*lab.Hold
	begin := func(want string) {
		t.Helper()
		h, err := l.Hold(t.Context(), lab.PodEnd(p), web)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(h.Close)
		if got := h.Seen.Client.Addr().String(); got != want {
			t.Errorf("the web server sees %s, want %s", got, want)
		}
		holds = append(holds, h)
	}
	begin(publicNode)
	for _, to := range []struct{ external, source string }{{"true", publicNAT}, {"false", publicNode}, {"true", publicNAT}} {
		sources := make(chan []string)
		go func() { sources <- dialUntil(t, l, p, web, to.source) }()
		if err := d.Stop(syscall.SIGTERM); err != nil {
			t.Errorf("the daemon ended with %v", err)
		}
		d = daemon(t, l, "node-a", setting(to.external)...)
		seen := <-sources
		t.Logf("EXTERNALSNAT=%s: %d connections until the new source", to.external, len(seen))
		begin(to.source)
		for i, h := range holds {
			if err := h.Alive(t.Context()); err != nil {
				t.Errorf("EXTERNALSNAT=%s: connection %d: %v", to.external, i, err)
			}
		}
	}
}

// dialUntil opens connections one after the other until one has the source, and
// returns all the sources. None may fail, and none may have a third one.
func dialUntil(t *testing.T, l *lab.Lab, p lab.Pod, to netip.AddrPort, source string) []string {
	t.Helper()
	var seen []string
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
		s, err := l.Dial(t.Context(), lab.PodEnd(p), to)
		if err != nil {
			t.Errorf("connection %d: %v", len(seen), err)
			return seen
		}
		got := s.Client.Addr().String()
		seen = append(seen, got)
		if got == source {
			return seen
		}
		if got != publicNode && got != publicNAT {
			t.Errorf("a connection had source %s", got)
		}
	}
	t.Errorf("after %d connections none has source %s", len(seen), source)
	return seen
}

// What somebody does to the rules by hand is undone: within a second where the
// kernel tells of it, within ten with legacy iptables.
func TestSNATHeals(t *testing.T) {
	for _, flavour := range []string{"nft", "legacy"} {
		t.Run(flavour, func(t *testing.T) {
			l := up(t, "nat.yaml")
			path := "PATH=" + commands(t, flavour) + ":" + os.Getenv("PATH")
			t.Setenv("PATH", strings.TrimPrefix(path, "PATH="))
			daemon(t, l, "node-a", path)
			conflist(t, l, "node-a", chain)
			p, err := l.AddPod(t.Context(), "node-a", "vpc", "pod")
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(300 * time.Millisecond) // the daemon has seen the news of the ADD
			cases := map[string]time.Duration{
				"nft delete table ip vpc-snat": time.Second, "ip rule del priority 1024": time.Second, "nft flush chain ip vpc-snat outbound": time.Second,
			}
			limit := map[string]time.Duration{"nft": time.Second, "legacy": 10 * time.Second}[flavour]
			cases["iptables -t nat -F"], cases["iptables -t nat -D POSTROUTING 1"] = limit, limit
			healed := len(cases)
			for by, limit := range cases {
				if _, err := l.Exec(t.Context(), "node-a", strings.Fields(by)...); err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), 2*limit+2*time.Second)
				err := lab.Poll(ctx, func() error {
					_, err := l.CNITool(t.Context(), "check", p)
					return err
				})
				cancel()
				took := time.Since(start)
				t.Logf("%-38s repaired after %v", by, took.Round(10*time.Millisecond))
				// The look itself takes a while, and this machine may be busy: twice the promise fails.
				if err != nil || took > 2*limit {
					t.Errorf("%s: repaired after %v: %v", by, took, err)
				}
			}
			// Counted, too.
			if out, err := l.Exec(t.Context(), "node-a", l.Bin("vpcctl"), "snat"); err != nil || !strings.Contains(out, fmt.Sprintf("network vpc, repaired %d times", healed)) {
				t.Errorf("vpcctl snat says %q, %v; want %d repairs", out, err, healed)
			}
		})
	}
}

// commands is a directory in which iptables is the command of a flavour.
func commands(t *testing.T, flavour string) string {
	t.Helper()
	dir := t.TempDir()
	for _, suffix := range []string{"", "-restore"} {
		target, err := filepath.EvalSymlinks("/usr/sbin/iptables-" + flavour + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, filepath.Join(dir, "iptables"+suffix)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// A CIDR that the VPC gains or loses is in the rules within 30 s.
func TestVPCCIDRChange(t *testing.T) {
	l := up(t, "nat.yaml")
	daemon(t, l, "node-a")
	conflist(t, l, "node-a", chain)
	if _, err := l.AddPod(t.Context(), "node-a", "vpc", "pod"); err != nil {
		t.Fatal(err)
	}
	for _, cidrs := range [][]string{{"10.20.0.0/16", "100.64.0.0/16", "10.99.0.0/16"}, {"10.20.0.0/16", "100.64.0.0/16"}} {
		if err := l.Sim(t.Context(), nil, append([]string{"cidrs"}, cidrs...)...); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		err := lab.Poll(ctx, func() error {
			rules, err := l.Exec(t.Context(), "node-a", "iptables", "-t", "nat", "-S")
			if err != nil {
				return lab.Permanent(err)
			}
			if strings.Contains(rules, "10.99.0.0/16") != (len(cidrs) == 3) {
				return context.DeadlineExceeded
			}
			return nil
		})
		cancel()
		if err != nil {
			t.Errorf("%v: %v", cidrs, err)
		}
		t.Logf("%v in the rules after %v", cidrs, time.Since(start).Round(100*time.Millisecond))
	}
}

// The tracked connections of a pod that is gone do not wait for its successor.
func TestReleasedAddressIsForgotten(t *testing.T) {
	l := up(t, "nat.yaml")
	daemon(t, l, "node-a", "IP_COOLDOWN_PERIOD=6")
	conflist(t, l, "node-a", chain)
	p, err := l.AddPod(t.Context(), "node-a", "vpc", "pod")
	if err != nil {
		t.Fatal(err)
	}
	serve(t, l, lab.HostEnd("endpoint"), 8080)
	if _, err := l.Dial(t.Context(), lab.PodEnd(p), netip.MustParseAddrPort("10.20.13.10:8080")); err != nil {
		t.Fatal(err)
	}
	tracked := func() int {
		out, err := l.Exec(t.Context(), "node-a", "cat", "/proc/net/nf_conntrack")
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(out, "src="+p.Addr.String()+" ")
	}
	if tracked() == 0 {
		t.Fatal("the connection is not tracked: the test cannot tell anything")
	}
	if err := l.DelPod(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Second)
	defer cancel()
	if err := lab.Poll(ctx, func() error {
		if n := tracked(); n > 0 {
			return context.DeadlineExceeded
		}
		return nil
	}); err != nil {
		t.Errorf("%d connections of %s are tracked at the end of its cooldown", tracked(), p.Addr)
	}
}
