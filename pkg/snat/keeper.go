package snat

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"

	"github.com/google/nftables"
)

// Keeper looks after the outbound NAT of the node whose network namespace the
// process is in. Several may work side by side, in several processes.
type Keeper struct {
	dir string
}

// New keeps its records in dir, which all users of a node share.
func New(dir string) *Keeper { return &Keeper{dir} }

// Ensure makes the kernel what load says, and says what it changed. On a node
// that is right it costs one request to add rule 1024 and one to compare the
// ruleset's generation; load is called once more under the lock if not.
func (k *Keeper) Ensure(load func() (Settings, error)) (changed []string, err error) {
	s, err := load()
	if err != nil {
		return nil, err
	}
	added, err := ensureRule(s)
	if err != nil {
		return nil, err
	}
	if added {
		changed = append(changed, "rule 1024")
	}
	if right, err := k.right(s); right || err != nil {
		return changed, err
	}
	unlock, err := k.lock()
	if err != nil {
		return changed, err
	}
	defer unlock()
	if s, err = load(); err != nil {
		return changed, err
	}
	if right, err := k.right(s); right || err != nil {
		return changed, err
	}
	repaired, err := k.repair(s)
	return append(changed, repaired...), err
}

// Verify is Ensure without trust in the record of the last verification: all of
// ours is read. A kernel that is right is not written to.
func (k *Keeper) Verify(load func() (Settings, error)) (changed []string, err error) {
	unlock, err := k.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	s, err := load()
	if err != nil {
		return nil, err
	}
	added, err := ensureRule(s)
	if err != nil {
		return nil, err
	}
	if added {
		changed = append(changed, "rule 1024")
	}
	repaired, err := k.repair(s)
	return append(changed, repaired...), err
}

// Blind tells whether the kernel gives no news of changes: only Verify sees them.
func (k *Keeper) Blind() bool {
	var v verified
	err := readJSON(k.verifiedPath(), &v)
	return err != nil || v.Legacy || v.NoNFT
}

// right tells whether the kernel is what was verified last for these settings.
func (k *Keeper) right(s Settings) (bool, error) {
	var v verified
	if err := readJSON(k.verifiedPath(), &v); err != nil {
		return false, fmt.Errorf("reading what was verified last: %w", err)
	}
	if v.Hash != s.Hash() {
		return false, nil
	}
	gen, err := generation()
	if err != nil {
		// No nf_tables: legacy iptables have no generation, and the record is all there is.
		return v.NoNFT, nil //nolint:nilerr // said above
	}
	if gen == v.Generation && !v.NoNFT {
		return true, nil
	}
	return k.unchanged(s, v, gen), nil
}

// unchanged reads our own objects, when the ruleset was changed by somebody, and
// moves the record on if they are as they were.
func (k *Keeper) unchanged(s Settings, v verified, gen uint32) bool {
	for chain, want := range v.Handles {
		have, err := handles("nat", chain)
		if err != nil {
			return false
		}
		var numbers []uint64
		for _, h := range have {
			if chain != "POSTROUTING" || slices.Contains(want, h.number) {
				numbers = append(numbers, h.number)
			}
		}
		if !slices.Equal(numbers, want) {
			return false
		}
	}
	nft, err := nftables.New()
	if err != nil {
		return false
	}
	state, err := readNFT(nft)
	if err != nil || len(nftDiff(s, v.Source, state)) > 0 {
		return false
	}
	v.Generation = gen
	// Who cannot write the record verifies again next time.
	_ = writeJSON(k.verifiedPath(), v)
	return true
}

func (k *Keeper) verifiedPath() string { return filepath.Join(k.dir, verifiedFile) }

// means are the writers that the settings and the node come down to.
type means struct {
	source bool     // the SNAT is in nftables
	noNFT  bool     // the kernel has no nf_tables
	main   *flavour // the iptables that the node uses; nil without the command
	other  *flavour // the other one, if something of ours may be in it
	nft    *nftables.Conn
}

// find chooses the writers. The error says why the node cannot NAT.
func find(s Settings) (m means, err error) {
	_, genErr := generation()
	m.noNFT = genErr != nil
	if !m.noNFT {
		if m.nft, err = nftables.New(); err != nil {
			return m, fmt.Errorf("opening nftables: %w", err)
		}
	}
	var ipErr error
	m.main, ipErr = open("iptables")
	switch s.Backend {
	case "nftables":
		m.source = true
	case "auto":
		m.source = !m.noNFT && (m.main == nil || m.kubeProxyUsesNFT())
	}
	if m.source && m.noNFT {
		return m, fmt.Errorf("backend nftables: the kernel has no nf_tables: %w", genErr)
	}
	if m.main == nil && (!m.source && !s.External || m.noNFT) {
		return m, ipErr
	}
	if m.main != nil {
		m.other = m.main.other()
	}
	return m, nil
}

// Available says why the node cannot NAT at all, or nil, without changing
// anything or executing a program.
func Available(s Settings) error {
	_, genErr := generation()
	_, ipErr := exec.LookPath("iptables")
	switch {
	case s.Backend == "nftables" && genErr != nil:
		return fmt.Errorf("backend nftables: the kernel has no nf_tables: load the module nf_tables, or set backend to iptables: %w", genErr)
	case s.Backend == "iptables" && ipErr != nil && !s.External:
		return fmt.Errorf("backend iptables: the command is missing: install iptables, or set backend to nftables: %w", ipErr)
	case genErr != nil && ipErr != nil:
		return errors.Join(errors.New("this node has neither nf_tables nor the iptables command: install iptables"), genErr)
	}
	return nil
}

// Degraded says what works badly on this node, or nil.
func Degraded() error {
	if _, err := generation(); err != nil {
		return errors.New("the kernel has no nf_tables: connections of pods on secondary ENIs to a ClusterIP are marked by the ClusterIP" +
			" and may leave by the wrong ENI: load the module nf_tables")
	}
	return nil
}

func (m means) kubeProxyUsesNFT() bool {
	tables, err := m.nft.ListTablesOfFamily(nftables.TableFamilyIPv4)
	return err == nil && slices.ContainsFunc(tables, func(t *nftables.Table) bool { return t.Name == "kube-proxy" })
}
