package snat

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Wish is what the conflist of a network asks of the node's NAT beyond the
// operator's settings. The plugin records it; from then on it is the node's truth.
type Wish struct {
	Network string `json:"network"`
	Texts   Texts  `json:"settings,omitempty"`
}

// verified is the memory of the last verification.
type verified struct {
	Hash       string `json:"hash"`       // of the settings
	Generation uint32 `json:"generation"` // of the nftables ruleset, before it was read
	// Handles are the rules in iptables-nft chains, by chain of table nat; of
	// POSTROUTING ours alone. Empty with legacy iptables, which has no handles.
	Handles map[string][]uint64 `json:"handles,omitempty"`
	Source  bool                `json:"source"` // the SNAT is in nftables
	Legacy  bool                `json:"legacy"` // the SNAT, or all, is in legacy iptables
	NoNFT   bool                `json:"noNFTables"`
}

const (
	wishFile     = "snat.json"
	verifiedFile = "snat-verified.json"
	lockFile     = "snat.lock"
)

// readJSON is ok without a file: v stays as it is. A file that cannot be read as
// JSON is as good as none.
func readJSON(path string, v any) error {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_ = json.Unmarshal(raw, v)
	return nil
}

// writeJSON replaces the file by rename.
func writeJSON(path string, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".snat-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(tmp.Name()) }()
	_, err = tmp.Write(append(raw, '\n'))
	if err = errors.Join(err, tmp.Chmod(0o644), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}

// lock keeps other writers out until unlock. The kernel lets go of it when the
// process dies.
func (k *Keeper) lock() (unlock func(), err error) {
	if err := os.MkdirAll(k.dir, 0o755); err != nil {
		return nil, fmt.Errorf("locking the SNAT rules: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(k.dir, lockFile), os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the SNAT rules: %w", err)
	}
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("locking the SNAT rules: %w", err), f.Close())
	}
	return func() { _ = f.Close() }, nil
}

// Wish is the recorded wish, or the zero value.
func (k *Keeper) Wish() (Wish, error) {
	var w Wish
	err := readJSON(filepath.Join(k.dir, wishFile), &w)
	return w, err
}

// ErrDisagree is a network whose conflist asks for another NAT than the node has.
var ErrDisagree = errors.New("two networks of this node ask for different outbound NAT")

// Ask records the wish. A network may change its own; another network's must
// come to the same settings on top of node, the operator's.
func (k *Keeper) Ask(w Wish, node Texts) error {
	have, err := k.Wish()
	if err != nil {
		return err
	}
	if done, err := agreed(have, w, node); done || err != nil {
		return err
	}
	unlock, err := k.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if have, err = k.Wish(); err != nil {
		return err
	}
	if done, err := agreed(have, w, node); done || err != nil {
		return err
	}
	if err := writeJSON(filepath.Join(k.dir, wishFile), w); err != nil {
		return fmt.Errorf("recording the SNAT settings of network %s: %w", w.Network, err)
	}
	return nil
}

// agreed tells whether the wish is on record already, in effect, or why it cannot be.
func agreed(have, w Wish, node Texts) (bool, error) {
	if have.Network == "" {
		return false, nil
	}
	is, err := Parse(node, have.Texts)
	if err != nil && have.Network != w.Network {
		return false, nil // nobody could have been served with that
	}
	will, err := Parse(node, w.Texts)
	if err != nil {
		return false, err
	}
	switch {
	case is.Hash() == will.Hash():
		return true, nil
	case have.Network == w.Network:
		return false, nil
	}
	return false, fmt.Errorf("%w: %s has %v, %s wants %v: give both the same settings, or remove %s if %s is no more",
		ErrDisagree, have.Network, have.Texts, w.Network, w.Texts, wishFile, have.Network)
}
