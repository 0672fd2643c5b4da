package reference

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpcchain/vpcchain/pkg/snat"
)

var pluginNames = []string{"vpc-ipam", "vpc-veth", "vpc-snat", "vpc-sgpp"}

func (d *document) plugins(t *testing.T) {
	d.text("## The plugins: keys of the conflist", "", "What the conflist does not say is of the node facts, `node.json`, which vpc-ipamd writes.")
	for _, name := range pluginNames {
		d.text("### "+name, "", "More in [its README](../plugins/"+name+"/README.md).")
		for _, line := range reference(t, name) {
			d.WriteString(strings.ReplaceAll(line, ", see below", "") + "\n")
		}
		d.WriteString("\n")
	}
	d.text("### Their environment", "",
		"Beside CNI's variables they read `TRACEPARENT`, the [trace](design.md#traces) that the runtime's call belongs to. What is no traceparent of the W3C is ignored.")
}

// reference is the table of keys of a plugin's README, its lines.
func reference(t *testing.T, plugin string) []string {
	raw, err := os.ReadFile(filepath.Join(root, "plugins", plugin, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, text, ok := strings.Cut(string(raw), "## Network configuration reference\n")
	if !ok {
		t.Fatalf("%s has no reference", plugin)
	}
	text, _, _ = strings.Cut(text, "\n## ")
	var lines []string
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "|") {
			lines = append(lines, strings.TrimRight(line, "\n"))
		} else if lines != nil {
			break
		}
	}
	return lines
}

// rows are the table's keys with the cells behind them.
func rows(t *testing.T, plugin string) map[string][]string {
	out := map[string][]string{}
	for _, line := range reference(t, plugin)[2:] {
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		for key := range strings.SplitSeq(cells[0], ", ") {
			out[strings.Trim(key, "` ")] = cells[1:]
		}
	}
	return out
}

// Keys of the CNI specification and of libcni: they are not a plugin's own.
var standard = []string{"cniVersion", "name", "prevResult", "runtimeConfig", "ipam"}

// Each README has the keys that the plugin's conf.go reads, and no other.
func TestKeysOfPlugins(t *testing.T) {
	for _, plugin := range pluginNames {
		read := map[string]bool{"type": true}
		for _, key := range tags(t, filepath.Join(root, "plugins", plugin, "conf.go")) {
			if !slices.Contains(standard, key) {
				read[key] = true
			}
		}
		switch plugin {
		case "vpc-snat":
			for _, k := range snat.Keys() {
				read[k.Name] = true
			}
		case "vpc-ipam":
			read["capabilities"] = true // makes libcni deliver runtimeConfig
		}
		documented := rows(t, plugin)
		if d := cmp.Diff(slices.Sorted(maps.Keys(read)), slices.Sorted(maps.Keys(documented))); d != "" {
			t.Errorf("%s: keys (-read +documented):\n%s", plugin, d)
		}
	}
}

// The README of vpc-snat has names and defaults of the settings as they are.
func TestDefaultsOfSNAT(t *testing.T) {
	documented := rows(t, "vpc-snat")
	for _, k := range snat.Keys() {
		cells := documented[k.Name]
		if len(cells) < 3 || k.Env == "" {
			continue
		}
		def := "none"
		if k.Default != "" {
			def = "`" + k.Default + "`"
		}
		if cells[1] != "`"+k.Env+"`" || cells[2] != def {
			t.Errorf("%s: the README says %s and %s, it is %s and %s", k.Name, cells[1], cells[2], k.Env, def)
		}
	}
}

// tags are the names of the JSON keys of all structs of a file.
func tags(t *testing.T, file string) []string {
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	ast.Inspect(f, func(n ast.Node) bool {
		field, ok := n.(*ast.Field)
		if !ok || field.Tag == nil {
			return true
		}
		text, err := strconv.Unquote(field.Tag.Value)
		if err != nil {
			t.Fatal(err)
		}
		key, _, _ := strings.Cut(reflect.StructTag(text).Get("json"), ",")
		out = append(out, key)
		return true
	})
	if len(out) < 3 {
		t.Fatalf("%s: only %q were found", file, out)
	}
	return out
}
