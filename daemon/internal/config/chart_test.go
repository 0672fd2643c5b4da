package config_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpcchain/vpcchain/daemon/internal/config"
	"github.com/vpcchain/vpcchain/daemon/internal/install"
	"github.com/vpcchain/vpcchain/pkg/snat"
)

var update = flag.Bool("update", false, "write the settings into the chart's schema")

const schemaFile = "../../../deploy/helm/vpcchain/values.schema.json"

// byChart are the variables that follow from other values of the chart.
var byChart = []string{"CRI_SOCKET", "ENI_CONFIG_DIR", "AWS_VPC_K8S_CNI_BACKING_STORE", "METRICS_BIND_ADDRESS", "HOST_CNI_BIN_PATH", "HOST_CNI_CONFDIR_PATH"}

// The chart takes every variable of vpc-ipamd and of `vpcctl install`, and no
// other: a misspelt one must not reach the nodes. Run `make manifests` after a change.
func TestChartKnowsTheSettings(t *testing.T) {
	raw, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	var schema map[string]any
	if err := json.Unmarshal(raw, &schema); err != nil {
		t.Fatal(err)
	}
	env := schema["properties"].(map[string]any)["env"].(map[string]any)
	want := settings()
	if *update {
		env["properties"] = want
		var out bytes.Buffer
		e := json.NewEncoder(&out)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		if err := e.Encode(schema); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(schemaFile, out.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if d := cmp.Diff(want, env["properties"]); d != "" {
		t.Errorf("%s: env (-want +got):\n%s", schemaFile, d)
	}
	if env["additionalProperties"] != false {
		t.Errorf("%s takes variables that nobody reads", schemaFile)
	}
}

// settings are the schemas of all variables.
func settings() map[string]any {
	out := map[string]any{}
	for _, s := range config.Settings() {
		out[s.Name] = schemaOf(s.Allowed, s.Effect)
	}
	for _, k := range snat.Keys() {
		if k.Env != "" {
			out[k.Env] = schemaOf(k.Allowed, k.Name+" of vpc-snat")
		}
	}
	for _, o := range install.Options("/") {
		for _, name := range o.Env {
			if out[name] == nil {
				out[name] = schemaOf(o.Allowed, o.Effect)
			}
		}
	}
	for _, name := range byChart {
		delete(out, name)
	}
	return out
}

// schemaOf says no more than the type: what is allowed in detail is vpc-ipamd's
// to check, in one place.
func schemaOf(allowed, effect string) map[string]any {
	s := map[string]any{"description": effect + "; " + allowed}
	switch {
	case allowed == "true or false":
		s["type"], s["pattern"] = []any{"boolean", "string"}, "^(true|false)$"
	case strings.Contains(allowed, "whole number"), strings.HasPrefix(allowed, "bytes"), strings.Contains(allowed, "-bit number"):
		s["type"], s["pattern"] = []any{"integer", "string"}, "^(0x[0-9a-fA-F]+|[0-9]+)$"
	default:
		s["type"] = "string"
	}
	return s
}
