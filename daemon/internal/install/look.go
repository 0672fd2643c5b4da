package install

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// beforeSuffix is behind the name of what was there before; no runtime reads it.
const beforeSuffix = ".before-vpcchain"

// recordFile is in the directory of plugins, and says what of both directories is ours.
const recordFile = ".vpcchain.json"

// record is what an installation leaves for the next one and for uninstall.
type record struct {
	Plugins   []string `json:"plugins"`
	Replaced  []string `json:"replaced,omitempty"` // of Plugins, those that another's file is kept of
	ConfDir   string   `json:"confDir"`
	Conflist  string   `json:"conflist"`
	Network   string   `json:"network"`
	Retired   []string `json:"retired,omitempty"`
	TablesDir string   `json:"rtTablesDir"`
}

// node is one look at the directories.
type node struct {
	record  record
	raw     []byte // of the record
	plugins map[string]plugin
	confs   []string // of ConfDir that a runtime reads, by name
	conf    []byte   // the conflist as it is
	tables  []byte   // tablesFile as it is
}

// plugin is one that the installation may copy.
type plugin struct {
	source string // path; empty: no source has it
	exists bool   // in BinDir
	same   bool   // what is there is what the source has
	kept   bool   // another's of before is kept beside
}

// ours are the plugins of this project, and loopback what every runtime calls first.
func ours() []string { return []string{"vpc-ipam", "vpc-veth", "vpc-snat", "vpc-sgpp"} }

const loopback = "loopback"

// tablesFile is the file in TablesDir, which iproute2 reads all files *.conf of.
const tablesFile = "vpcchain.conf"

func look(s Settings) (node, error) {
	n := node{plugins: map[string]plugin{}}
	var err error
	if n.record, n.raw, err = readRecord(s.BinDir); err != nil {
		return n, err
	}
	types, err := s.Network.Types()
	if err != nil {
		return n, err
	}
	for _, name := range slices.Concat(types, ours(), []string{loopback}) {
		if n.plugins[name], err = lookPlugin(s, name); err != nil {
			return n, err
		}
	}
	entries, err := os.ReadDir(s.ConfDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return n, fmt.Errorf("reading the directory of conflists: %w", err)
	}
	for _, e := range entries {
		if !e.IsDir() && isConf(e.Name()) {
			n.confs = append(n.confs, e.Name())
		}
	}
	if n.conf, err = readIfThere(filepath.Join(s.ConfDir, s.File)); err != nil {
		return n, err
	}
	n.tables, err = readIfThere(filepath.Join(s.TablesDir, tablesFile))
	return n, err
}

func readRecord(binDir string) (r record, raw []byte, err error) {
	path := filepath.Join(binDir, recordFile)
	if raw, err = readIfThere(path); err != nil || raw == nil {
		return r, raw, err
	}
	if err := json.Unmarshal(raw, &r); err != nil {
		return r, raw, fmt.Errorf("reading the record of the installation %s: %w: remove it to install as if for the first time", path, err)
	}
	return r, raw, nil
}

func lookPlugin(s Settings, name string) (plugin, error) {
	var p plugin
	target := filepath.Join(s.BinDir, name)
	for _, dir := range s.Sources {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			p.source = path
			break
		}
	}
	_, err := os.Lstat(target + beforeSuffix)
	p.kept = err == nil
	if _, err = os.Lstat(target); errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err != nil {
		return p, fmt.Errorf("looking at plugin %s: %w", name, err)
	}
	p.exists = true
	if p.source == "" {
		return p, nil
	}
	p.same, err = same(p.source, target)
	return p, err
}

// same tells whether target is what source is, and can be executed.
func same(source, target string) (bool, error) {
	a, err := os.ReadFile(source)
	if err != nil {
		return false, err
	}
	b, err := os.ReadFile(target)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil // a link that leads nowhere
	}
	if err != nil {
		return false, err
	}
	info, err := os.Stat(target)
	return err == nil && info.Mode().Perm()&0o111 == 0o111 && bytes.Equal(a, b), err
}

// readIfThere is nil without the file.
func readIfThere(path string) ([]byte, error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return raw, err
}
