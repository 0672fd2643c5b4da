package reference

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// value is one of the chart's, with the comment that stands above or behind it.
type value struct {
	path    string // key, or key.key
	comment string
}

// longest default, in bytes, that the table shows.
const longest = 100

// podFields go into the DaemonSet as they are; their own fields are the API's.
var podFields = []string{
	"priorityClassName", "tolerations", "nodeSelector", "affinity", "updateStrategy", "podAnnotations", "podLabels", "podSecurityContext",
	"terminationGracePeriodSeconds", "resources", "startupProbe", "livenessProbe", "readinessProbe",
}

func (d *document) chart(t *testing.T) {
	d.text("## The chart", "", "What `env` takes are the variables above, in the same spelling; the schema refuses others. More in [its README](../deploy/helm/vpcchain/README.md).")
	raw := chartFile(t, "values.yaml")
	var defaults map[string]any
	if err := yaml.Unmarshal(raw, &defaults); err != nil {
		t.Fatal(err)
	}
	var rows [][]string
	for _, v := range values(string(raw)) {
		def := at(defaults, v.path)
		last := v.path[strings.LastIndex(v.path, ".")+1:]
		if m, ok := def.(map[string]any); ok && len(m) > 0 && !slices.Contains(podFields, last) {
			if v.comment != "" {
				rows = append(rows, []string{code(v.path), "", v.comment})
			}
			continue
		}
		text, err := json.Marshal(def)
		if err != nil {
			t.Fatal(err)
		}
		if v.comment == "" && slices.Contains(podFields, last) {
			v.comment = "a field of the DaemonSet or of its pods, as the API has it"
		}
		if v.comment == "" {
			t.Errorf("values.yaml does not say what %s is", v.path)
		}
		cell := code(strings.Trim(string(text), `"`))
		if len(cell) > longest {
			cell = "[values.yaml](../deploy/helm/vpcchain/values.yaml)"
		}
		rows = append(rows, []string{code(v.path), cell, v.comment})
	}
	d.table([]string{"value", "default", ""}, rows)
}

func chartFile(t *testing.T, name string) []byte {
	raw, err := os.ReadFile(filepath.Join(root, "deploy", "helm", "vpcchain", name))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func at(m map[string]any, path string) any {
	var v any = m
	for key := range strings.SplitSeq(path, ".") {
		v = v.(map[string]any)[key]
	}
	return v
}

// values are the keys of the first two levels of a file in block style.
func values(text string) []value {
	var out []value
	var comment []string
	parent := ""
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		body := strings.TrimLeft(line, " ")
		indent := len(line) - len(body)
		if c, ok := strings.CutPrefix(body, "# "); ok && indent <= 2 {
			comment = append(comment, c)
			continue
		}
		key, rest, ok := strings.Cut(body, ":")
		isKey := ok && indent <= 2 && !strings.HasPrefix(body, "#") && !strings.ContainsAny(key, " {-")
		if isKey {
			said := comment
			if _, behind, ok := strings.Cut(rest, " # "); ok {
				said = append(said, strings.TrimSpace(behind))
			}
			path := key
			if indent == 0 {
				parent = key
			} else {
				path = parent + "." + key
			}
			if indent == 0 || !slices.Contains(podFields, parent) {
				out = append(out, value{path, strings.Join(said, " ")})
			}
		}
		comment = nil
	}
	return out
}

// The schema lists the values that values.yaml has.
func TestValuesAndSchema(t *testing.T) {
	var schema struct {
		Properties map[string]struct{ Properties map[string]any }
	}
	if err := json.Unmarshal(chartFile(t, "values.schema.json"), &schema); err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for _, v := range values(string(chartFile(t, "values.yaml"))) {
		key, below, _ := strings.Cut(v.path, ".")
		listed[key] = true
		p, ok := schema.Properties[key]
		if _, there := p.Properties[below]; !ok || below != "" && len(p.Properties) > 0 && !there {
			t.Errorf("values.schema.json lacks %s", v.path)
		}
	}
	for key := range schema.Properties {
		if !listed[key] && key != "global" {
			t.Errorf("values.yaml lacks %s", key)
		}
	}
}
