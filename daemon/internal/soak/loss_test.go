package soak

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/hostnet"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// loseState spoils the state file of the daemon that is to come.
func (w *world) loseState(how stateLoss) {
	path := filepath.Join(w.nextDir(), "ipamd.db")
	var err error
	switch how {
	case kept:
		return
	case removed:
		err = os.Remove(path)
	case truncated:
		err = os.Truncate(path, int64(w.seed%5)*5000) //nolint:gosec // small
	case spoilt:
		err = spoil(path, int64(w.seed)) //nolint:gosec // small
	}
	if err != nil && !os.IsNotExist(err) {
		w.fail("losing the state: %v", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tally.losses++
}

// spoil writes over a part of each page behind the meta pages.
func spoil(path string, seed int64) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	page := int64(os.Getpagesize())
	for at := 2 * page; err == nil && at < info.Size(); at += page {
		_, err = f.WriteAt([]byte{0xff, byte(seed)}, at+seed*17%page/2)
	}
	return err
}

// detach is somebody's: the ENI is gone from the node, with the addresses of its pods.
func (w *world) detach(nth int) {
	var mine []string
	has := map[string][]netip.Prefix{}
	for _, i := range w.sim.Interfaces() {
		if i.Host != nodeName || i.Device == 0 {
			continue
		}
		mine = append(mine, i.ID)
		has[i.ID] = slices.Clone(i.Prefixes)
		for _, a := range i.Addresses {
			has[i.ID] = append(has[i.ID], vpcnet.Host(a))
		}
	}
	if len(mine) == 0 {
		return
	}
	id := mine[nth%len(mine)]
	w.mu.Lock()
	for _, p := range has[id] {
		w.torn[p] = true
	}
	for _, p := range w.pods {
		p.doomed = p.doomed || p.addr.IsValid() && w.isTorn(p.addr)
	}
	w.tally.detached++
	w.mu.Unlock()
	if err := w.sim.Detach(id); err != nil {
		w.logf("detaching %s: %v", id, err) // it is being detached
	}
}

// isTorn tells whether the address was on an ENI that somebody detached; the
// caller holds the lock.
func (w *world) isTorn(a netip.Addr) bool {
	for p := range w.torn {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// replaceDoomed is what the daemon asks for: pods whose addresses are lost are deleted.
func (w *world) replaceDoomed() {
	w.mu.Lock()
	var gone []int
	for n, p := range w.pods {
		if p.doomed && p.addr.IsValid() {
			gone = append(gone, n)
		}
	}
	w.mu.Unlock()
	for _, n := range gone {
		w.del(n, false)
	}
	time.Sleep(time.Minute)
}

// Witnesses are the traces of pods: veths, their routes, and rules.
func (h host) Witnesses(context.Context, ...string) ([]hostnet.Witness, error) {
	if h.p.dead() {
		return nil, errKilled
	}
	var out []hostnet.Witness
	for _, f := range h.found() {
		out = append(out, hostnet.Witness{Addr: f.Addr, Link: f.HostVeth, Attachment: f.Attachment})
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for p := range h.rules {
		for a := p.Addr(); p.Contains(a); a = a.Next() {
			out = append(out, hostnet.Witness{Addr: a, Rule: true})
		}
	}
	return out, nil
}

// SetAlias is for veths of the stock CNI, of which there are none.
func (h host) SetAlias(string, vpcnet.Attachment) error { return nil }
