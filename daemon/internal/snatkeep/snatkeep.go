// Package snatkeep keeps the node's outbound NAT as promised while vpc-ipamd
// runs: what the vpc-snat plugin asked for once is repaired when somebody
// removes it. It acts on the kernel's news of nftables and of routing rules,
// and, where the kernel gives none (legacy iptables), looks by itself every ten
// seconds. On a node where vpc-snat never ran it does nothing.
package snatkeep

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/vpcchain/vpcchain/pkg/snat"
)

// Keep repairs the rules of one node.
type Keep struct {
	keeper *snat.Keeper
	facts  string
	log    *slog.Logger

	poked   chan struct{}
	repairs atomic.Uint64
	last    atomic.Pointer[string] // why the last attempt failed, or nil
}

// New works for the node facts at path.
func New(facts string, log *slog.Logger) *Keep {
	return &Keep{keeper: snat.ForFacts(facts), facts: facts, log: log, poked: make(chan struct{}, 1)}
}

// Wish is what the conflist of a network asked for; without a network nothing is kept.
func (k *Keep) Wish() (snat.Wish, error) { return k.keeper.Wish() }

// Repairs is how often something was repaired.
func (k *Keep) Repairs() uint64 { return k.repairs.Load() }

// Trouble says why the rules are not as wanted, or nothing.
func (k *Keep) Trouble() string {
	if p := k.last.Load(); p != nil {
		return *p
	}
	return ""
}

// Poke says that the node facts have changed.
func (k *Keep) Poke() {
	select {
	case k.poked <- struct{}{}:
	default:
	}
}

const (
	look = 10 * time.Second // without news
	// calm collects a burst of news, such as kube-proxy's, into one look.
	calm = 100 * time.Millisecond
)

// Run works until ctx ends. A node that is right is not written to, so that a
// restart or an upgrade of the daemon touches no rule.
func (k *Keep) Run(ctx context.Context) error {
	news, err := watch(ctx)
	if err != nil {
		return err
	}
	tick := time.NewTicker(look)
	defer tick.Stop()
	k.once(true)
	for {
		full := false
		select {
		case <-ctx.Done():
			return nil
		case <-news:
			wait(ctx, calm)
			drain(news)
		case <-k.poked:
		case <-tick.C:
			full = k.keeper.Blind()
		}
		if ctx.Err() == nil {
			k.once(full)
		}
	}
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func drain(c <-chan struct{}) {
	select {
	case <-c:
	default:
	}
}

func (k *Keep) once(full bool) {
	w, err := k.keeper.Wish()
	if err == nil && w.Network == "" {
		return
	}
	load := func() (snat.Settings, error) { return k.keeper.Load(k.facts) }
	var changed []string
	if err == nil {
		if full {
			changed, err = k.keeper.Verify(load)
		} else {
			changed, err = k.keeper.Ensure(load)
		}
	}
	if len(changed) > 0 {
		k.repairs.Add(1)
		k.log.Warn("repaired the outbound NAT", "first", changed[0], "changes", len(changed))
	}
	if err == nil {
		k.last.Store(nil)
		return
	}
	text := err.Error()
	k.last.Store(&text)
	k.log.Error("repairing the outbound NAT", "error", err)
}

// watch tells of each change of the nftables ruleset (group NFNLGRP_NFTABLES)
// and of IPv4 routing rules (RTNLGRP_IPV4_RULE). Several are one.
func watch(ctx context.Context) (<-chan struct{}, error) {
	out := make(chan struct{}, 1)
	for _, s := range []struct {
		protocol int
		group    uint
	}{{unix.NETLINK_NETFILTER, unix.NFNLGRP_NFTABLES}, {unix.NETLINK_ROUTE, unix.RTNLGRP_IPV4_RULE}} {
		sock, err := nl.Subscribe(s.protocol, s.group)
		if errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.ENOENT) {
			continue // a kernel without nf_tables; the timer looks
		}
		if err != nil {
			return nil, fmt.Errorf("listening to the kernel: %w", err)
		}
		context.AfterFunc(ctx, sock.Close)
		go receive(ctx, sock, out)
	}
	return out, nil
}

func receive(ctx context.Context, sock *nl.NetlinkSocket, out chan<- struct{}) {
	for ctx.Err() == nil {
		_, _, err := sock.Receive()
		switch {
		case err == nil, errors.Is(err, unix.ENOBUFS): // too many to tell: something changed
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN):
			continue
		default:
			return // closed with ctx; the timer goes on
		}
		select {
		case out <- struct{}{}:
		default:
		}
	}
}
