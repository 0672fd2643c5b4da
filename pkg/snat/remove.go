package snat

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// Remove takes everything of this package off the node: the rules and chains of
// both iptables flavours, the nftables table, rule 1024, the records. It says what
// it removes; with dry it only says. A node without any of it is left as it is.
// The keeper's directory may be missing. The stock CNI's nftables table stays.
func (k *Keeper) Remove(dry bool) (removed []string, err error) {
	if !dry {
		unlock, err := k.lock()
		if err != nil {
			return nil, err
		}
		defer unlock()
	}
	// Without SNAT and without NodePort nothing is wanted of any writer.
	nothing := Settings{External: true}
	m, err := find(nothing)
	if m.noNFT && m.main == nil {
		return nil, k.removeRecords(dry) // no means, so nothing was ever made
	}
	if err != nil {
		return nil, err
	}
	o, err := m.observe()
	if err != nil {
		return nil, err
	}
	o.nft.stock = false
	removed = m.leavings(nothing, o)
	if dry {
		rules, err := staleRules(nothing, true)
		return append(removed, rules...), err
	}
	if len(removed) > 0 {
		err = m.apply(nothing, o)
	}
	rules, rerr := staleRules(nothing, false)
	return append(removed, rules...), errors.Join(err, rerr, k.removeRecords(dry))
}

// leavings says what of ours there is, in order of its text: the kernel's is none.
func (m means) leavings(s Settings, o observed) []string {
	out := m.diff(s, o)
	if o.nft.there && len(o.nft.chains) == 0 {
		out = append(out, fmt.Sprintf("nftables table %s is left over", tableName))
	}
	slices.Sort(out)
	return out
}

func (k *Keeper) removeRecords(dry bool) error {
	if dry {
		return nil
	}
	var errs []error
	for _, name := range []string{wishFile, verifiedFile, lockFile} {
		if err := os.Remove(filepath.Join(k.dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, fmt.Errorf("removing the record of the SNAT rules: %w", err))
		}
	}
	return errors.Join(errs...)
}
