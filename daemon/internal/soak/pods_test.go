package soak

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/engine"
	"github.com/vpcchain/vpcchain/daemon/internal/hostnet"
	"github.com/vpcchain/vpcchain/daemon/internal/pool"
	"github.com/vpcchain/vpcchain/pkg/spool"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

func attachment(n int) vpcnet.Attachment {
	return vpcnet.Attachment{Network: "vpc", ContainerID: fmt.Sprintf("c%d", n), IfName: "eth0"}
}

func podOf(n int) pool.Pod { return pool.Pod{Namespace: "default", Name: fmt.Sprintf("pod-%d", n)} }

// Times of vpc-ipam: how long an ADD may wait, how long it puts up with a daemon
// that is away, how often it asks then.
const (
	addLimit = 25 * time.Second
	window   = 2 * time.Second
	again    = 50 * time.Millisecond
)

// served calls the daemon that runs now; false: there is none, or it died.
func (w *world) served(call func(e *engine.Engine) error) (bool, error) {
	p := w.process()
	select {
	case <-p.ready:
	default:
		return false, errKilled
	}
	if p.dead() {
		return false, errKilled
	}
	got := make(chan error, 1)
	w.life.Go(func() { got <- call(p.e) })
	select {
	case <-p.killed:
		return false, errKilled
	case err := <-got:
		return !p.dead(), err
	}
}

// add is a runtime's ADD; when it fails the runtime takes the pod away again.
func (w *world) add(n int, p *pod) {
	defer close(p.adding)
	ctx, cancel := context.WithTimeout(context.Background(), addLimit)
	defer cancel()
	var got engine.Assigned
	var err error
	var away time.Time
	for {
		asked := time.Now()
		var reached bool
		var mine engine.Assigned // not written any more by a call that was given up
		reached, err = w.served(func(e *engine.Engine) (err error) {
			mine, err = e.Assign(ctx, attachment(n), podOf(n))
			return err
		})
		if reached {
			got = mine
			break
		}
		if away.IsZero() || time.Since(asked) > window {
			away = time.Now()
		}
		if time.Since(away) > window || ctx.Err() != nil {
			break
		}
		time.Sleep(again)
	}
	if err != nil {
		w.logf("ADD pod-%d: %v", n, err)
		w.count(func(t *tally) { t.failed++ })
		w.release(n)
		return
	}
	w.logf("ADD pod-%d: %s", n, got.Addr)
	w.count(func(t *tally) { t.adds++ })
	w.checkAdd(n, got)
	w.kernel.addVeth(hostnet.Found{
		Attachment: attachment(n), Addr: got.Addr,
		HostVeth: vpcnet.HostVethName(w.config.VethPrefix, podOf(n).Namespace, podOf(n).Name, attachment(n).ContainerID, "eth0"),
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	p.addr = got.Addr
}

// del takes a pod away, with a DEL or without.
func (w *world) del(n int, silently bool) {
	w.mu.Lock()
	p := w.pods[n]
	w.mu.Unlock()
	if p == nil {
		return // a shortened schedule has no ADD of it
	}
	<-p.adding
	w.mu.Lock()
	addr := p.addr
	p.addr, p.lost = netip.Addr{}, silently && addr.IsValid()
	if addr.IsValid() {
		w.rested[addr] = time.Now()
	}
	w.mu.Unlock()
	w.kernel.delVeth(attachment(n))
	if addr.IsValid() && !silently {
		w.release(n)
	}
}

// release is a DEL: delivered, or put into the spool.
func (w *world) release(n int) {
	reached, err := w.served(func(e *engine.Engine) error {
		_, err := e.Release(attachment(n))
		return err
	})
	if reached && err == nil {
		return
	}
	w.mu.Lock()
	err = spool.Put(filepath.Join(w.nextDir(), "spool"), attachment(n))
	w.mu.Unlock()
	if err != nil {
		w.fail("%v", err)
	}
}

// collect is a GC that names every pod that lives or is being added; with only
// the lost ones left out it hides no release that went astray.
func (w *world) collect(onlyLost bool) {
	var valid []vpcnet.Attachment
	w.mu.Lock()
	for n, p := range w.pods {
		if p.addr.IsValid() || w.adding(p) || onlyLost && !p.lost {
			valid = append(valid, attachment(n))
		}
	}
	w.mu.Unlock()
	reached, err := w.served(func(e *engine.Engine) error {
		_, err := e.Collect("vpc", valid)
		return err
	})
	if reached && err == nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, p := range w.pods {
			p.lost = p.lost && slices.Contains(valid, attachment(p.n))
		}
	} else if err != nil && !errors.Is(err, errKilled) {
		w.logf("GC: %v", err)
	}
}

func (w *world) adding(p *pod) bool {
	select {
	case <-p.adding:
		return false
	default:
		return true
	}
}
