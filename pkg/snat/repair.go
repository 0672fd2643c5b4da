package snat

import (
	"errors"
	"fmt"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// observed is everything of ours in the kernel, with the generation before it was read.
type observed struct {
	gen   uint32
	nft   nftState
	main  ipState
	other ipState
}

func (m means) observe() (observed, error) {
	var o observed
	var errs []error
	var err error
	if !m.noNFT {
		if o.gen, err = generation(); err != nil {
			return o, err
		}
		o.nft, err = readNFT(m.nft)
		errs = append(errs, err)
	}
	if m.main != nil {
		o.main, err = m.main.read()
		errs = append(errs, err)
	}
	if m.other != nil {
		o.other, err = m.other.read()
		errs = append(errs, err)
	}
	return o, errors.Join(errs...)
}

// nothing is what is wanted of a flavour that is not used.
func nothing() map[string]ipTable { return map[string]ipTable{} }

func (m means) wanted(s Settings) map[string]ipTable { return s.ipTables(!m.source, m.noNFT) }

// diff says what is not as wanted.
func (m means) diff(s Settings, o observed) []string {
	var out []string
	if m.main != nil {
		out = append(out, m.main.diff(m.wanted(s), o.main)...)
	}
	if !m.noNFT {
		out = append(out, nftDiff(s, m.source, o.nft)...)
	}
	if m.other != nil {
		out = append(out, m.other.diff(nothing(), o.other)...)
	}
	return out
}

// repair makes the difference; the caller holds the lock.
func (k *Keeper) repair(s Settings) ([]string, error) {
	if err := s.Missing(); err != nil {
		return nil, err
	}
	m, err := find(s)
	if err != nil {
		return nil, err
	}
	o, err := m.observe()
	if err != nil {
		return nil, err
	}
	wrong := m.diff(s, o)
	if len(wrong) > 0 {
		if err := m.apply(s, o); err != nil {
			return nil, err
		}
		if m.other != nil && len(m.other.diff(nothing(), o.other)) == 0 {
			m.other = nil // nothing was there: need not be read again
		}
		// Connections that were begun meanwhile keep the wrong source until they end.
		if _, err := forgetUnanswered(s); err != nil {
			return wrong, err
		}
		if o, err = m.observe(); err != nil {
			return wrong, err
		}
		if left := m.diff(s, o); len(left) > 0 {
			return wrong, fmt.Errorf("the kernel did not take the SNAT rules: %s", left[0])
		}
	}
	if _, err := staleRules(s, false); err != nil {
		return wrong, err
	}
	return wrong, k.remember(s, m, o)
}

// apply writes in the order in which no new connection leaves un-NATed by the
// ENI that cannot carry it: SNAT comes before the mark, and goes after it.
func (m means) apply(s Settings, o observed) error {
	steps := []func() error{
		func() error {
			if m.main == nil {
				return nil
			}
			return m.main.apply(m.wanted(s), o.main)
		},
		func() error {
			if m.noNFT {
				return nil
			}
			return writeNFT(m.nft, s, m.source, o.nft)
		},
	}
	// With the SNAT in nftables, what iptables has of it goes last as well.
	if s.External || m.source {
		slices.Reverse(steps)
	}
	steps = append(steps, func() error {
		if m.other == nil {
			return nil
		}
		return m.other.apply(nothing(), o.other)
	})
	var errs []error
	for _, step := range steps {
		errs = append(errs, step())
	}
	return errors.Join(errs...)
}

// remember records that the kernel was right at the observed generation.
func (k *Keeper) remember(s Settings, m means, o observed) error {
	v := verified{Hash: s.Hash(), Generation: o.gen, Source: m.source, NoNFT: m.noNFT, Handles: map[string][]uint64{}}
	if m.main != nil && !m.source && !s.External {
		v.Legacy = m.main.legacy
		if !m.main.legacy {
			if err := recordHandles(&v, o.main["nat"]); err != nil {
				return err
			}
		}
	}
	if err := writeJSON(k.verifiedPath(), v); err != nil {
		return fmt.Errorf("recording what was verified: %w", err)
	}
	return nil
}

// recordHandles reads the handles of our rules. Where another program changed
// the table meanwhile the numbers do not fit, and the record is void.
func recordHandles(v *verified, chains []ipChain) error {
	for _, c := range chains {
		own := slices.IndexFunc(c.rules, func(r string) bool { return r == jumpRule() })
		if !ownChain(c.name) && own < 0 {
			continue
		}
		have, err := handles("nat", c.name)
		if err != nil {
			return err
		}
		if len(have) != len(c.rules) {
			v.Hash = ""
			return nil
		}
		v.Handles[c.name] = []uint64{}
		for i, h := range have {
			if ownChain(c.name) || i == own {
				v.Handles[c.name] = append(v.Handles[c.name], h.number)
			}
		}
	}
	return nil
}

// Check compares the kernel with the settings and names the first difference.
func (k *Keeper) Check(s Settings) error {
	m, err := find(s)
	if err != nil {
		return err
	}
	o, err := m.observe()
	if err != nil {
		return err
	}
	if wrong := m.diff(s, o); len(wrong) > 0 {
		return errors.New(wrong[0])
	}
	return checkRule(s)
}

func kernelRule(mark uint32) *netlink.Rule {
	r := netlink.NewRule()
	r.Family, r.Priority, r.Table, r.Protocol = netlink.FAMILY_V4, vpcnet.RuleMark, vpcnet.TableMain, vpcnet.RouteProtocol
	r.Mark, r.Mask = mark, &mark
	return r
}

// ensureRule adds routing rule 1024, or deletes it where nothing is ever marked.
func ensureRule(s Settings) (added bool, err error) {
	if s.markPrimary() {
		err = netlink.RuleAdd(kernelRule(s.Mark))
		if err == nil {
			return true, nil
		}
		if !errors.Is(err, unix.EEXIST) {
			return false, fmt.Errorf("adding rule %d: %w", vpcnet.RuleMark, err)
		}
		return false, nil
	}
	if err = netlink.RuleDel(kernelRule(s.Mark)); err != nil && !errors.Is(err, unix.ENOENT) {
		return false, fmt.Errorf("deleting rule %d: %w", vpcnet.RuleMark, err)
	}
	return false, nil
}

// staleRules deletes rules 1024 of ours for a mark that is no more, and says
// which; with dry it only says.
func staleRules(s Settings, dry bool) (stale []string, err error) {
	have, err := netlink.RuleListFiltered(netlink.FAMILY_V4, &netlink.Rule{Priority: vpcnet.RuleMark}, netlink.RT_FILTER_PRIORITY) //nolint:forbidigo // a handful, and only when something was wrong
	if err != nil {
		return nil, fmt.Errorf("listing rules: %w", err)
	}
	for _, r := range have {
		if r.Protocol != vpcnet.RouteProtocol || r.Mark == s.Mark {
			continue
		}
		stale = append(stale, fmt.Sprintf("rule %d: fwmark %#x lookup main", vpcnet.RuleMark, r.Mark))
		if dry {
			continue
		}
		if err := netlink.RuleDel(kernelRule(r.Mark)); err != nil && !errors.Is(err, unix.ENOENT) {
			return stale, fmt.Errorf("deleting rule %d of mark %#x: %w", vpcnet.RuleMark, r.Mark, err)
		}
	}
	return stale, nil
}

func checkRule(s Settings) error {
	rules, err := netlink.RuleListFiltered(netlink.FAMILY_V4, kernelRule(s.Mark), netlink.RT_FILTER_PRIORITY|netlink.RT_FILTER_MARK) //nolint:forbidigo // a handful, and CHECK may be slow
	if err != nil {
		return fmt.Errorf("listing rules: %w", err)
	}
	if s.markPrimary() && len(rules) == 0 {
		return fmt.Errorf("rule %d (fwmark %#x lookup main) is missing", vpcnet.RuleMark, s.Mark)
	}
	return nil
}
