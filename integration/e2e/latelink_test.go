package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/integration/lab"
)

// A link that comes long after EC2 said "attached" is set up when the kernel
// tells of it, not with the daemon's next slow round 30 s later.
func TestLateLinkIsSetUpAtOnce(t *testing.T) {
	l := up(t, "")
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	defer cancel()
	const late = 3 * time.Second
	if err := l.Sim(ctx, nil, "fault", "--link-delay", late.String()); err != nil {
		t.Fatal(err)
	}
	d, err := l.Start("node-a", []string{"MINIMUM_IP_TARGET=12"}, l.Bin("vpc-ipamd"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Stop(syscall.SIGKILL) })
	second := func() (ready bool, note string, err error) {
		out, err := l.Exec(ctx, "node-a", l.Bin("vpcctl"), "pool", "--json")
		if err != nil {
			return false, "", err
		}
		var pool struct {
			ENIs []struct {
				Ready bool
				Note  string
			}
		}
		if err := json.Unmarshal([]byte(out), &pool); err != nil || len(pool.ENIs) < 2 {
			return false, "", fmt.Errorf("%d ENIs, %w", len(pool.ENIs), err)
		}
		return pool.ENIs[1].Ready, pool.ENIs[1].Note, nil
	}
	poll := func(f func() error) {
		t.Helper()
		if err := lab.Poll(ctx, f); err != nil {
			t.Fatalf("%v\n%s", err, d.Log())
		}
	}
	poll(func() error { _, _, err := second(); return err })
	if ready, note, err := second(); err != nil || ready || !strings.Contains(note, "link") {
		t.Errorf("before its link comes the ENI is ready: %t %q, %v", ready, note, err)
	}
	poll(func() error { _, err := l.Exec(ctx, "node-a", "ip", "link", "show", "eth1"); return err })
	came := time.Now()
	poll(func() error {
		ready, note, err := second()
		if err == nil && !ready {
			err = fmt.Errorf("not ready: %s", note)
		}
		return err
	})
	if took := time.Since(came); took > 2*time.Second {
		t.Errorf("the link was set up %v after it came", took)
	}
	out, err := l.Exec(ctx, "node-a", "ip", "route", "show", "table", "2")
	if err != nil || !strings.Contains(out, "default via 10.20.11.1 dev eth1") {
		t.Errorf("table 2 has %q, %v", out, err)
	}
}
