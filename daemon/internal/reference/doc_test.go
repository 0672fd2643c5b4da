// Package reference writes docs/configuration.md from the tables that programs
// read their settings by, and from the files beside them, and fails while the
// document is another. `make docs` writes it.
package reference

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpcchain/vpcchain/daemon/internal/config"
	"github.com/vpcchain/vpcchain/daemon/internal/install"
	"github.com/vpcchain/vpcchain/daemon/internal/kubeapi"
	"github.com/vpcchain/vpcchain/pkg/snat"
)

const root = "../../.."

var update = flag.Bool("update", false, "write docs/configuration.md")

func TestDocument(t *testing.T) {
	var d document
	d.begin()
	d.daemon()
	d.plugins(t)
	d.install()
	d.kube()
	d.chart(t)
	d.stock()
	path := filepath.Join(root, "docs", "configuration.md")
	if *update {
		if err := os.WriteFile(path, d.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(d.String(), string(have)); diff != "" {
		t.Errorf("run `make docs`; %s (-want +got):\n%s", path, diff)
	}
}

// document is Markdown.
type document struct{ bytes.Buffer }

func (d *document) text(lines ...string) {
	fmt.Fprintf(d, "%s\n\n", strings.Join(lines, "\n"))
}

func (d *document) table(head []string, rows [][]string) {
	for _, row := range slices.Concat([][]string{head, slices.Repeat([]string{"---"}, len(head))}, rows) {
		for i, cell := range row {
			row[i] = strings.ReplaceAll(cell, "|", `\|`)
		}
		line := "| " + strings.Join(row, " | ") + " |"
		if row[0] == "---" {
			line = "|" + strings.Join(row, "|") + "|"
		}
		fmt.Fprintln(d, line)
	}
	fmt.Fprintln(d)
}

// code is text as it is written, or a dash for none.
func code(s string) string {
	if s == "" {
		return "–"
	}
	return "`" + s + "`"
}

func (d *document) begin() {
	d.text("# Configuration", "", "<!-- Written by `make docs` from the tables that the programs read; a test fails when it is not the same. -->")
	d.text("Every setting of the chain: vpc-ipamd's environment, the plugins' keys in the conflist, `vpcctl install`, vpc-kube, the chart. All of them are read once, when",
		"the program starts; what is read again while it runs says so. A value that cannot be used stops the start, or the pod, and the error names the setting, its value and",
		"what is allowed. An empty variable is one that is not set. The keys of a simulated VPC are in [its default topology](../integration/vpcsim/topology/default.yaml).")
	d.text("*stock* marks a name of the stock AWS VPC CNI, with its meaning and, unless said otherwise, its default. [What of the stock CNI is not read](#settings-of-the-stock-cni-that-nobody-reads) is at the end.")
}

// origin tells whether the stock CNI has a variable of the name, and its other default.
func origin(name, def string) string {
	for _, s := range config.StockNames() {
		if s.Name != name {
			continue
		}
		if same(s.Default, def) {
			return "stock"
		}
		return "stock, default there " + code(s.Default)
	}
	return ""
}

// same takes an unset number for 0, as both do.
func same(stock, here string) bool { return stock == here || stock == "" && here == "0" }

func (d *document) daemon() {
	d.text("## vpc-ipamd: environment")
	head := []string{"name", "default", "values", "effect", ""}
	for _, g := range config.Groups() {
		d.text("### " + g.Title)
		var rows [][]string
		for _, s := range g.Settings {
			rows = append(rows, []string{code(s.Name), code(s.Default), s.Allowed, s.Effect, origin(s.Name, s.Default)})
		}
		d.table(head, rows)
	}
	d.text("### The way out of the VPC", "",
		"Defaults for the node; a key of [vpc-snat](#vpc-snat) in the conflist overrules them.")
	var rows [][]string
	for _, k := range snat.Keys() {
		if k.Env != "" {
			rows = append(rows, []string{code(k.Env), code(k.Default), k.Allowed, code(k.Name) + " of vpc-snat", origin(k.Env, k.Default)})
		}
	}
	d.table(head, rows)
	d.text("### The AWS SDK", "",
		"EC2 and IMDS are reached as the SDK's environment says: `AWS_REGION` (else IMDS tells), `AWS_ENDPOINT_URL_EC2`, `AWS_EC2_METADATA_SERVICE_ENDPOINT`, `AWS_CA_BUNDLE`,",
		"`HTTPS_PROXY`, `NO_PROXY`, and its chain of credentials: variables, a role by web identity, the instance's role. Retries are fixed: 5 attempts.")
	d.text("## vpc-ipamd: command line")
	var f config.Flags
	d.flags(f.Set())
}

// flags are a table of a command line.
func (d *document) flags(fs *flag.FlagSet) {
	var rows [][]string
	fs.VisitAll(func(f *flag.Flag) {
		rows = append(rows, []string{code("-" + f.Name), code(f.DefValue), f.Usage})
	})
	d.table([]string{"flag", "default", "effect"}, rows)
}

func (d *document) install() {
	d.text("## vpcctl install", "",
		"A flag overrules its variable; what is given neither way stays out of the conflist, and the daemon's setting counts. Without `--source`",
		"plugins are taken from the directory of vpcctl and from `cni` below it. Flags of the other subcommands are in [vpcctl's README](../daemon/vpcctl/README.md).")
	var rows [][]string
	for _, o := range install.Options("/") {
		var env []string
		from := ""
		for _, name := range o.Env {
			env = append(env, code(name))
			if origin(name, o.Default) != "" {
				from = "stock"
			}
		}
		def := o.Default
		if o.Flag == "source" {
			def = "" // the directory of the program
		}
		rows = append(rows, []string{code("--" + o.Flag), strings.Join(env, ", "), code(def), o.Allowed, o.Effect, from})
	}
	d.table([]string{"flag", "environment", "default", "values", "effect", ""}, rows)
}

func (d *document) kube() {
	d.text("## vpc-kube", "", "In brackets the variable that stands for a flag.")
	var f kubeapi.Flags
	d.flags(f.Set(func(string) string { return "" }))
}

func (d *document) stock() {
	d.text("## Settings of the stock CNI that nobody reads", "",
		"vpc-ipamd warns at its start of those that are set to something that would have an effect there, and of names that look like a setting and are none.",
		"Of version 1.23.1; cni-metrics-helper is a program of its own.")
	var rows [][]string
	for _, s := range config.StockNames() {
		if s.Instead != "" {
			rows = append(rows, []string{code(s.Name), code(s.Default), s.Instead})
		}
	}
	d.table([]string{"name", "default there", "here"}, rows)
	d.Truncate(d.Len() - 1)
}

// Every variable of the stock CNI that is said to be read is read by somebody.
func TestStockNamesAreRead(t *testing.T) {
	var f kubeapi.Flags
	read := map[string]bool{}
	f.Set(func(name string) string { read[name] = true; return "" })
	for _, s := range config.Settings() {
		read[s.Name] = true
	}
	for _, k := range snat.Keys() {
		read[k.Env] = true
	}
	for _, o := range install.Options("/") {
		for _, name := range o.Env {
			read[name] = true
		}
	}
	for _, s := range config.StockNames() {
		if read[s.Name] != (s.Instead == "") {
			t.Errorf("%s: read %v, and the list of stock names says %q", s.Name, read[s.Name], s.Instead)
		}
	}
}
