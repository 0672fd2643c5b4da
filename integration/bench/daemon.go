package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/vpcchain/vpcchain/integration/bench/usage"
	"github.com/vpcchain/vpcchain/integration/lab"
	"github.com/vpcchain/vpcchain/integration/performance"
)

const (
	idle    = 15 * time.Second
	churned = 20 * time.Second
	spare   = 350      // addresses that cool down under load
	maxRSS  = 30 << 10 // the aim with the most pods, KiB
)

const daemonIntro = `vpc-ipamd on an m5.24xlarge of a simulation whose addresses are all there before the first pod. Idle means that nothing is asked of it for %s.
Under load so many pods a second are deleted and added again for %s, by the plugins of the chain: each is a Release and an Assign,
and changes of links and routes that the daemon hears of; addresses are used again after 5 s. RSS is what the kernel counts as
resident, PSS without the share of others, peak the most that RSS was since the start. CPU is in percent of one processor.

| addresses are | pods | state | RSS MiB | PSS MiB | peak MiB | CPU %% |
|---|---|---|---|---|---|---|
`

func runDaemon(ctx context.Context, o options, _ *performance.Run) (string, error) {
	t := &table{}
	fmt.Fprintf(&t.out, daemonIntro, idle, churned)
	for _, mode := range []struct {
		name      string
		prefixes  bool
		addresses int
	}{{"prefixes", true, most + spare}, {"secondary", false, most}} {
		err := big(ctx, o, mode.addresses, []string{prefixes(mode.prefixes)}, func(l *lab.Lab, d *lab.Process) error {
			still := func() (string, error) { return "idle", wait(ctx, idle) }
			if err := t.row(d, mode.name, 0, still); err != nil {
				return err
			}
			if _, err := addPods(ctx, l, o, node, 0, most); err != nil {
				return err
			}
			if err := t.row(d, mode.name, most, still); err != nil || !mode.prefixes {
				return err // with secondary addresses no more pods are possible, not even for the time of a cooldown
			}
			return t.row(d, mode.name, most, func() (string, error) { return churn(ctx, l, o) })
		})
		if err != nil {
			return "", fmt.Errorf("%s: %w", mode.name, err)
		}
	}
	met := "missed"
	if t.worst <= maxRSS {
		met = "met"
	}
	fmt.Fprintf(&t.out, "\nThe aim is an RSS of at most %s MiB with %d pods: %s, at %s MiB.\n", mib(maxRSS), most, met, mib(t.worst))
	return t.out.String(), nil
}

// table is what is written of the daemon.
type table struct {
	out   strings.Builder
	worst int // RSS, KiB
}

// row is what the daemon uses while something happens, which during names.
func (t *table) row(d *lab.Process, mode string, pods int, during func() (string, error)) error {
	before, err := usage.Read(d.PID())
	if err != nil {
		return err
	}
	start := time.Now()
	state, err := during()
	if err != nil {
		return err
	}
	took := time.Since(start)
	u, err := usage.Read(d.PID())
	if err != nil {
		return err
	}
	t.worst = max(t.worst, u.RSS)
	fmt.Fprintf(&t.out, "| %s | %d | %s | %s | %s | %s | %.1f |\n", mode, pods, state, mib(u.RSS), mib(u.PSS), mib(u.Peak), 100*(u.CPU-before.CPU).Seconds()/took.Seconds())
	return nil
}

// churn returns how fast it was in truth.
func churn(ctx context.Context, l *lab.Lab, o options) (string, error) {
	out, err := inside(ctx, l, o, node, "churn", "-from", "0", "-to", fmt.Sprint(most), "-rate", fmt.Sprint(o.rate))
	if err != nil {
		return "", err
	}
	n, err := strconv.Atoi(strings.TrimSpace(out))
	if err != nil {
		return "", fmt.Errorf("reading how many pods were added: %w", err)
	}
	rate := float64(n) / churned.Seconds()
	return fmt.Sprintf("%.0f DEL and %.0f ADD a second", rate, rate), nil
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
	return ctx.Err()
}

func mib(kib int) string { return fmt.Sprintf("%.1f", float64(kib)/1024) }
