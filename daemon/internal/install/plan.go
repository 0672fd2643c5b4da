package install

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

type verb int

const (
	keep    verb = iota // a second name for the file, with beforeSuffix
	put                 // a copy of another file, executable, by rename
	write               // a file, by rename
	await               // vpc-ipamd serves
	retired             // the file gets beforeSuffix
	drop                // the file goes
	restore             // the file of before gets its name back, over what is there
)

// step is one change. Which fields count depends on the verb.
type step struct {
	verb verb
	path string
	from string
	data []byte
	wait time.Duration
}

func (s step) String() string {
	switch s.verb {
	case keep:
		return fmt.Sprintf("keep %s as %s%s", s.path, filepath.Base(s.path), beforeSuffix)
	case put:
		return fmt.Sprintf("copy %s to %s", s.from, s.path)
	case write:
		return fmt.Sprintf("write %s:\n  %s", s.path, strings.ReplaceAll(strings.TrimSpace(string(s.data)), "\n", "\n  "))
	case await:
		return fmt.Sprintf("wait up to %s for vpc-ipamd on %s", s.wait, s.path)
	case retired:
		return fmt.Sprintf("rename %s to %s%s", s.path, filepath.Base(s.path), beforeSuffix)
	case drop:
		return "remove " + s.path
	default:
		return fmt.Sprintf("rename %s%s to %s", s.path, beforeSuffix, filepath.Base(s.path))
	}
}

// Plan is what an installation does, in order, and what the operator should know.
type Plan struct {
	steps []step
	Notes []string
}

// String is the plan as text.
func (p Plan) String() string {
	var b strings.Builder
	for _, s := range p.steps {
		fmt.Fprintln(&b, s)
	}
	for _, n := range p.Notes {
		fmt.Fprintln(&b, "note:", n)
	}
	if b.Len() == 0 {
		return "nothing to do\n"
	}
	return b.String()
}

// New looks at the directories and computes the plan.
func New(s Settings) (Plan, error) {
	n, err := look(s)
	if err != nil {
		return Plan{}, err
	}
	return plan(s, n)
}

func plan(s Settings, n node) (Plan, error) {
	conf, err := s.Network.Conflist()
	if err != nil {
		return Plan{}, err
	}
	next, err := newRecord(s, n)
	if err != nil {
		return Plan{}, err
	}
	names, err := s.copied(n)
	if err != nil {
		return Plan{}, err
	}
	var p Plan
	for _, name := range names {
		if n.replaces(name) && !n.plugins[name].kept {
			p.add(step{verb: keep, path: filepath.Join(s.BinDir, name)})
		}
	}
	// The record comes before what it claims: an installation that is killed is taken back whole.
	if string(next) != string(n.raw) {
		p.add(step{verb: write, path: filepath.Join(s.BinDir, recordFile), data: next})
	}
	for _, name := range names {
		p.add(step{verb: put, from: n.plugins[name].source, path: filepath.Join(s.BinDir, name)})
	}
	if t := fmt.Sprintf("%d vpc-pods\n", vpcnet.TablePods); string(n.tables) != t {
		p.add(step{verb: write, path: filepath.Join(s.TablesDir, tablesFile), data: []byte(t)})
	}
	if string(n.conf) != string(conf) {
		if s.Wait > 0 {
			p.add(step{verb: await, path: s.Socket, wait: s.Wait})
		}
		p.add(step{verb: write, path: filepath.Join(s.ConfDir, s.File), data: conf})
	}
	p.others(s, n)
	return p, nil
}

func (p *Plan) add(s step) { p.steps = append(p.steps, s) }

// copied are the plugins to copy, by name. The error says which the chain needs
// and nobody has.
func (s Settings) copied(n node) ([]string, error) {
	types, err := s.Network.Types()
	if err != nil {
		return nil, err
	}
	var out []string
	var errs []error
	for name, f := range n.plugins {
		switch {
		case f.source == "" && !f.exists && slices.Contains(types, name):
			errs = append(errs, fmt.Errorf("plugin %s is neither in %s nor in %s: install it there, or name its directory with --source",
				name, strings.Join(s.Sources, ", "), s.BinDir))
		case f.source == "" || f.same || name == loopback && f.exists:
		default:
			out = append(out, name)
		}
	}
	slices.Sort(out)
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return out, errors.Join(errs...)
}

// replaces tells whether the plugin takes the place of one that is not ours.
func (n node) replaces(name string) bool {
	f := n.plugins[name]
	return (f.exists || f.kept) && !slices.Contains(ours(), name) && !slices.Contains(n.record.Plugins, name)
}

// newRecord is what is ours after the installation. What was once ours stays in
// it: pods that were made with a plugin need it for their DEL.
func newRecord(s Settings, n node) ([]byte, error) {
	r := record{ConfDir: s.ConfDir, Conflist: s.File, Network: s.Network.Name, TablesDir: s.TablesDir, Plugins: slices.Clone(n.record.Plugins), Replaced: slices.Clone(n.record.Replaced)}
	for name, f := range n.plugins {
		mine := f.source != "" && (!f.exists || !f.same || slices.Contains(ours(), name))
		if mine && (name != loopback || !f.exists) && !slices.Contains(r.Plugins, name) {
			r.Plugins = append(r.Plugins, name)
			if n.replaces(name) {
				r.Replaced = append(r.Replaced, name)
			}
		}
	}
	slices.Sort(r.Plugins)
	slices.Sort(r.Replaced)
	for _, name := range slices.Concat(n.record.Retired, s.Retire) {
		if name != s.File && (slices.Contains(n.record.Retired, name) || slices.Contains(n.confs, name)) && !slices.Contains(r.Retired, name) {
			r.Retired = append(r.Retired, name)
		}
	}
	raw, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("writing the record of the installation: %w", err)
	}
	return append(raw, '\n'), nil
}

// others deals with the other conflists: our own of another name goes, retired
// ones are kept under a name that no runtime reads, and of those that stay the
// operator hears if a runtime uses them instead of ours.
func (p *Plan) others(s Settings, n node) {
	for _, name := range n.confs {
		path := filepath.Join(s.ConfDir, name)
		switch {
		case name == s.File:
		case name == n.record.Conflist && n.record.ConfDir == s.ConfDir:
			p.add(step{verb: drop, path: path})
		case slices.Contains(s.Retire, name), slices.Contains(n.record.Retired, name):
			p.add(step{verb: retired, path: path})
		case name < s.File:
			p.Notes = append(p.Notes, fmt.Sprintf("%s comes before %s, so a runtime uses it: --retire=%s if it should not", path, s.File, name))
		}
	}
	for _, name := range s.Retire {
		if !slices.Contains(n.confs, name) && !slices.Contains(n.record.Retired, name) {
			p.Notes = append(p.Notes, fmt.Sprintf("%s is not in %s: nothing to retire", name, s.ConfDir))
		}
	}
	if before := n.record.Network; before != "" && before != s.Network.Name {
		p.Notes = append(p.Notes, fmt.Sprintf("the network was %s: pods that run keep that name, and a GC of %s leaves them alone", before, s.Network.Name))
	}
}
