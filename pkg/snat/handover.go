package snat

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// HandOver leaves the outbound NAT in the form of the stock AWS VPC CNI, without a
// moment that has none: the SNAT and the connection mark as its iptables rules,
// rule 1024 without this project's protocol. Then the nftables table goes. The
// stock daemon takes the rules over when it starts. It says what it changes; with
// dry it only says. load gives the settings; where vpc-snat never ran, nothing is done.
func (k *Keeper) HandOver(load func() (Settings, error), dry bool) (changed []string, err error) {
	if w, err := k.Wish(); err != nil || w.Network == "" {
		return nil, err
	}
	if !dry {
		unlock, err := k.lock()
		if err != nil {
			return nil, err
		}
		defer unlock()
	}
	s, err := load()
	if err != nil {
		return nil, err
	}
	s.ChainStyle, s.Backend = "flat", "iptables"
	m, err := find(s)
	if err != nil {
		return nil, err
	}
	if m.main == nil {
		return nil, errors.New("iptables is not installed: the stock CNI keeps its NAT there")
	}
	o, err := m.observe()
	if err != nil {
		return nil, err
	}
	want, nothing := s.ipTables(true, true), Settings{External: true}
	changed = m.main.diff(want, o.main)
	if !m.noNFT {
		o.nft.stock = false
		changed = append(changed, nftDiff(nothing, false, o.nft)...)
	}
	if dry {
		return changed, nil
	}
	if err := m.main.apply(want, o.main); err != nil {
		return nil, err
	}
	if err := stockRule(s); err != nil {
		return nil, err
	}
	if !m.noNFT {
		err = writeNFT(m.nft, nothing, false, o.nft)
	}
	_, rerr := staleRules(nothing, false)
	return changed, errors.Join(err, rerr, k.removeRecords(false))
}

// stockRule adds rule 1024 as the stock CNI does, without a protocol.
func stockRule(s Settings) error {
	if !s.markPrimary() {
		return nil
	}
	r := kernelRule(s.Mark)
	r.Protocol = 0
	if err := netlink.RuleAdd(r); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("adding rule %q: %w", r, err)
	}
	return nil
}
