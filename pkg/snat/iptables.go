package snat

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-iptables/iptables"
)

// flavour is one of the two kernels' worth of iptables: the nf_tables one or
// the legacy one, each with rules that the other does not see.
type flavour struct {
	ipt     *iptables.IPTables
	command string // iptables, iptables-nft or iptables-legacy
	legacy  bool
}

// execLimit bounds one execution of iptables: a held xtables lock is waited for
// inside it.
const execLimit = 10 * time.Second

// open finds an iptables command.
func open(command string) (*flavour, error) {
	path, err := exec.LookPath(command)
	if err != nil {
		return nil, fmt.Errorf("%s is not installed: install iptables, or set backend to nftables: %w", command, err)
	}
	ipt, err := iptables.New(iptables.IPFamily(iptables.ProtocolIPv4), iptables.Timeout(int(execLimit/time.Second)), iptables.Path(command))
	if err != nil {
		return nil, fmt.Errorf("probing %s: %w", command, err)
	}
	legacy, err := isLegacy(path)
	if err != nil {
		return nil, err
	}
	return &flavour{ipt, command, legacy}, nil
}

// isLegacy tells the flavours apart by the program that the command is a link
// to, as distributions have it, else by its version.
func isLegacy(command string) (bool, error) {
	if target, err := filepath.EvalSymlinks(command); err == nil {
		switch filepath.Base(target) {
		case "xtables-nft-multi":
			return false, nil
		case "xtables-legacy-multi":
			return true, nil
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), execLimit)
	defer cancel()
	out, err := exec.CommandContext(ctx, command, "--version").Output() //nolint:gosec // one of three names
	if err != nil {
		return false, fmt.Errorf("asking %s for its version: %w", command, err)
	}
	// "iptables v1.8.9 (nf_tables)"; before 1.8 there was only legacy, and no word.
	return !strings.Contains(string(out), "nf_tables"), nil
}

// other is the flavour that the node does not use, if something of ours may be
// there: the nft one always can be asked, the legacy one only where its table is
// loaded, since asking would load it.
func (f *flavour) other() *flavour {
	if f.legacy {
		o, err := open("iptables-nft")
		if err != nil || o.legacy {
			return nil
		}
		return o
	}
	names, err := os.ReadFile("/proc/thread-self/net/ip_tables_names")
	if err != nil || !slices.Contains(strings.Fields(string(names)), "nat") {
		return nil
	}
	o, err := open("iptables-legacy")
	if err != nil || !o.legacy {
		return nil
	}
	return o
}

// ipState is what of a flavour's tables is ours: by table, by chain, the rules as
// `iptables -S` prints them without "-A <chain>". Of the built-in chains all
// rules are read, so that a rule's index is its number.
type ipState map[string][]ipChain

// builtin are the chains in which rules of ours, or the stock CNI's, may stand.
func builtin() map[string][]string {
	return map[string][]string{"nat": {"PREROUTING", "POSTROUTING"}, "mangle": {"PREROUTING"}}
}

func ownChain(name string) bool {
	return strings.HasPrefix(name, chainPrefix) || strings.HasPrefix(name, markChainPrefix)
}

// ownRule tells a rule in a built-in chain that is ours or the stock CNI's.
func ownRule(rule string) bool {
	for _, c := range []string{comment, commentOutbound, commentConnmark, commentPrimary} {
		if strings.Contains(rule, fmt.Sprintf("--comment %q", c)) {
			return true
		}
	}
	return false
}

func (f *flavour) read() (ipState, error) {
	s := ipState{}
	for table, chains := range builtin() {
		names := chains
		if table == "nat" { // nobody of us ever had chains in mangle
			all, err := f.ipt.ListChains(table)
			if err != nil {
				return nil, fmt.Errorf("listing the chains of %s %s: %w", f.command, table, err)
			}
			names = append(slices.Clone(chains), slices.DeleteFunc(all, func(n string) bool { return !ownChain(n) })...)
		}
		for _, name := range names {
			lines, err := f.ipt.List(table, name)
			if err != nil {
				return nil, fmt.Errorf("listing %s %s %s: %w", f.command, table, name, err)
			}
			c := ipChain{name: name}
			for _, l := range lines {
				if rest, ok := strings.CutPrefix(l, "-A "+name+" "); ok {
					c.rules = append(c.rules, strings.TrimSpace(rest))
				}
			}
			s[table] = append(s[table], c)
		}
	}
	return s, nil
}

// restore feeds single commands to one iptables-restore: one commit, which the
// kernel takes or refuses as a whole.
func (f *flavour) restore(table string, commands []string) error {
	if len(commands) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), execLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, f.command+"-restore", "--noflush", "--wait") //nolint:gosec // one of three names
	cmd.Stdin = strings.NewReader("*" + table + "\n" + strings.Join(commands, "\n") + "\nCOMMIT\n")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s-restore of table %s: %w: %s (the commands were: %s)",
			f.command, table, err, strings.TrimSpace(stderr.String()), strings.Join(commands, "; "))
	}
	return nil
}

// apply makes the flavour's tables have what is wanted, and nothing else of ours.
func (f *flavour) apply(want map[string]ipTable, have ipState) error {
	var errs []error
	for table := range builtin() {
		errs = append(errs, f.restore(table, ipCommands(want[table], have[table])))
	}
	return errors.Join(errs...)
}

// diff says in words what is not as wanted, the first thing first.
func (f *flavour) diff(want map[string]ipTable, have ipState) []string {
	var out []string
	for _, table := range []string{"nat", "mangle"} {
		for _, c := range ipCommands(want[table], have[table]) {
			out = append(out, fmt.Sprintf("%s table %s needs %s", f.command, table, c))
		}
	}
	return out
}
