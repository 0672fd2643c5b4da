package e2e

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/integration/lab"
)

// The state file is lost, or damaged, while pods run: they keep their addresses,
// CHECK agrees, no other pod gets one of them, and DEL leaves nothing.
func TestLostState(t *testing.T) {
	l := up(t, "")
	ctx := t.Context()
	env := []string{"IP_COOLDOWN_PERIOD=1"}
	d := daemon(t, l, "node-a", env...)
	conflist(t, l, "node-a", chain)
	var pods []lab.Pod
	add := func(name string) {
		t.Helper()
		p, err := l.AddPod(ctx, "node-a", "vpc", name)
		if err != nil {
			t.Fatal(err)
		}
		pods = append(pods, p)
	}
	for i := range 12 { // more than the primary ENI has
		add(fmt.Sprintf("before%d", i))
	}
	for name, harm := range map[string][]string{
		"lost":    {"rm", "/run/vpc-cni/ipamd.db"},
		"damaged": {"truncate", "-s", "100", "/run/vpc-cni/ipamd.db"},
	} {
		_ = d.Stop(syscall.SIGKILL)
		if _, err := l.Exec(ctx, "node-a", harm...); err != nil {
			t.Fatal(err)
		}
		d = daemon(t, l, "node-a", env...)
		for _, p := range pods {
			if _, err := l.CNITool(ctx, "check", p); err != nil {
				t.Errorf("%s: CHECK of %s: %v", name, p.Name, err)
			}
			if err := l.Ping(ctx, lab.HostEnd("node-b"), p.Addr); err != nil {
				t.Errorf("%s: %s is cut off: %v", name, p.Name, err)
			}
		}
		add("after-" + name)
		unique(t, pods)
	}
	for _, p := range pods {
		if err := l.DelPod(ctx, p); err != nil {
			t.Error(err)
		}
	}
	clean(t, l, "node-a")
}

// A runtime that dies deletes no pod. When the namespace is gone and the veth
// with it, the address comes back by itself; a pod that lives keeps its own.
func TestAbandonedPod(t *testing.T) {
	l := up(t, "")
	ctx := t.Context()
	d := daemon(t, l, "node-a", "IP_COOLDOWN_PERIOD=1", "ORPHAN_GRACE_PERIOD=2")
	conflist(t, l, "node-a", chain)
	lives, err := l.AddPod(ctx, "node-a", "vpc", "lives")
	if err != nil {
		t.Fatal(err)
	}
	dies, err := l.AddPod(ctx, "node-a", "vpc", "dies")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.DelNetns(ctx, "node-a", dies.Name); err != nil {
		t.Fatal(err)
	}
	wait, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	err = lab.Poll(wait, func() error {
		pool, err := l.Pool(wait, "node-a")
		if err == nil && pool.Used != 1 {
			err = fmt.Errorf("%d addresses are used, want that of the pod that lives", pool.Used)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if _, err := l.CNITool(ctx, "check", lives); err != nil {
		t.Errorf("the pod that lives: %v", err)
	}
	if log := d.Log(); !strings.Contains(log, "no DEL came") || !strings.Contains(log, dies.Addr.String()) {
		t.Errorf("no log line tells of %s", dies.Addr)
	}
	for _, p := range []lab.Pod{lives, dies} { // the DEL that comes late is a success
		if _, err := l.CNITool(ctx, "del", p); err != nil {
			t.Errorf("DEL of %s: %v", p.Name, err)
		}
	}
	clean(t, l, "node-a")
}

// On a read-only directory the daemon does not start, and says what to do.
func TestReadOnlyStateDirectory(t *testing.T) {
	l := up(t, "")
	dir := filepath.Join("/proc", "vpc-cni")
	p, err := l.Start("node-a", nil, l.Bin("vpc-ipamd"), "--state-dir", dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Stop(syscall.SIGKILL) })
	select {
	case <-p.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("it runs without a state directory")
	}
	if log := p.Log(); !strings.Contains(log, dir) || !strings.Contains(log, "--state-dir") {
		t.Errorf("it says %s", log)
	}
}

// The daemon restarts on a full disk: it serves what it can, says what is wrong,
// and is all right as soon as there is space.
func TestRestartOnAFullDisk(t *testing.T) {
	l := up(t, "")
	ctx := t.Context()
	exec := func(args ...string) {
		t.Helper()
		if _, err := l.Exec(ctx, "node-a", args...); err != nil {
			t.Fatal(err)
		}
	}
	exec("sh", "-c", "mkdir -p /run/vpc-cni && mount -t tmpfs -o size=512k tmpfs /run/vpc-cni")
	env := []string{"IP_COOLDOWN_PERIOD=1"}
	d := daemon(t, l, "node-a", env...)
	conflist(t, l, "node-a", chain)
	p, err := l.AddPod(ctx, "node-a", "vpc", "pod")
	if err != nil {
		t.Fatal(err)
	}
	_ = d.Stop(syscall.SIGKILL)
	exec("sh", "-c", "! dd if=/dev/zero of=/run/vpc-cni/filler bs=4k")
	if d, err = l.Start("node-a", env, l.Bin("vpc-ipamd")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Stop(syscall.SIGKILL) })
	status := func(want string, limit time.Duration) {
		t.Helper()
		wait, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		err := lab.Poll(wait, func() error {
			out, _ := l.Exec(wait, "node-a", l.Bin("vpcctl"), "status") // its exit status tells the same
			if !strings.Contains(out, want) {
				return fmt.Errorf("STATUS says %q, want %q\n%s", out, want, d.Log())
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	status("free space in /run/vpc-cni", 10*time.Second)
	if _, err := l.CNITool(ctx, "check", p); err != nil {
		t.Errorf("CHECK: %v", err)
	}
	if err := l.Ping(ctx, lab.HostEnd("node-b"), p.Addr); err != nil {
		t.Errorf("the pod is cut off: %v", err)
	}
	if err := l.DelPod(ctx, p); err != nil {
		t.Errorf("DEL: %v", err)
	}
	exec("rm", "/run/vpc-cni/filler")
	status("serving", 20*time.Second)
	clean(t, l, "node-a")
}
