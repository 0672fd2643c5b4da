// Package monitoring tests what deploy/monitoring ships: that alert rules and
// dashboard ask for what vpc-ipamd shows, and that alerts come when they should.
package monitoring

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

const (
	root      = "../.."
	alerts    = root + "/deploy/monitoring/alerts.yaml"
	dashboard = root + "/deploy/monitoring/dashboard.json"
	// exposition is what a node that has everything shows; the package of the
	// metrics holds its golden file to what it does.
	exposition = root + "/daemon/internal/metrics/testdata/exposition.txt"
)

// promtool runs Prometheus' own checker in a directory.
func promtool(t *testing.T, dir string, stdin []byte, args ...string) string {
	t.Helper()
	path, err := filepath.Abs(root + "/bin/tools/promtool")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		const reason = "promtool is not there: `make bin/tools/promtool` takes it from Debian's package prometheus"
		if strings.Contains(os.Getenv("VPCCHAIN_REQUIRE"), "root") {
			t.Fatal(reason)
		}
		t.Skip(reason)
	}
	cmd := exec.Command(path, args...) //nolint:gosec // the test's own words
	cmd.Dir, cmd.Stdin = dir, bytes.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("promtool %v: %v\n%s", args, err, out)
	}
	return string(out)
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// Our names pass Prometheus' own checker; those of the stock CNI do not, as its
// own do not.
func TestCheckMetrics(t *testing.T) {
	var ours bytes.Buffer
	for l := range strings.Lines(string(read(t, exposition))) {
		if !strings.Contains(l, "awscni_") {
			ours.WriteString(l)
		}
	}
	if out := promtool(t, ".", ours.Bytes(), "check", "metrics"); out != "" {
		t.Errorf("promtool check metrics:\n%s", out)
	}
}

// rule is an alert.
type rule struct {
	Alert       string            `json:"alert"`
	Expr        string            `json:"expr"`
	For         string            `json:"for"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

func rules(t *testing.T) []rule {
	t.Helper()
	var file struct {
		Groups []struct {
			Name  string `json:"name"`
			Rules []rule `json:"rules"`
		} `json:"groups"`
	}
	if err := yaml.UnmarshalStrict(read(t, alerts), &file); err != nil {
		t.Fatal(err)
	}
	var out []rule
	for _, g := range file.Groups {
		out = append(out, g.Rules...)
	}
	if len(out) == 0 {
		t.Fatal("no alerts")
	}
	return out
}

// No alert comes on a healthy node, each comes on the damage that it is for.
func TestAlerts(t *testing.T) {
	dir := t.TempDir()
	for _, from := range []string{alerts, "testdata/alerts_test.yaml"} {
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(from)), read(t, from), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	promtool(t, dir, nil, "check", "rules", "alerts.yaml")
	promtool(t, dir, nil, "test", "rules", "alerts_test.yaml")
	fires := string(read(t, "testdata/alerts_test.yaml"))
	for _, r := range rules(t) {
		if !strings.Contains(fires, fmt.Sprintf(`{alertname=%q}', value: 1}`, r.Alert)) {
			t.Errorf("%s: no planted series makes it fire", r.Alert)
		}
	}
}

var heading = regexp.MustCompile(`(?m)^#+ (.*)$`)

// Each alert says what is wrong, what to do, and where that is described.
func TestAlertTexts(t *testing.T) {
	for _, r := range rules(t) {
		if r.Annotations["summary"] == "" || len(r.Annotations["description"]) < 60 || r.For == "" || !slices.Contains([]string{"critical", "warning"}, r.Labels["severity"]) {
			t.Errorf("%s: %+v", r.Alert, r)
		}
		path, anchor, _ := strings.Cut(r.Annotations["runbook"], "#")
		found := anchor == ""
		for _, m := range heading.FindAllStringSubmatch(string(read(t, filepath.Join(root, path))), -1) {
			found = found || anchor == strings.ReplaceAll(strings.ToLower(m[1]), " ", "-")
		}
		if !found {
			t.Errorf("%s: %s has no %q", r.Alert, path, anchor)
		}
	}
}

// panel of the dashboard.
type panel struct {
	ID      int                      `json:"id"`
	Type    string                   `json:"type"`
	Title   string                   `json:"title"`
	GridPos struct{ X, Y, W, H int } `json:"gridPos"`
	Targets []struct {
		RefID        string `json:"refId"`
		Expr         string `json:"expr"`
		LegendFormat string `json:"legendFormat"`
	} `json:"targets"`
}

func panels(t *testing.T) []panel {
	t.Helper()
	var d struct {
		UID        string  `json:"uid"`
		Title      string  `json:"title"`
		Panels     []panel `json:"panels"`
		Templating struct {
			List []struct {
				Name string `json:"name"`
			} `json:"list"`
		} `json:"templating"`
	}
	if err := json.Unmarshal(read(t, dashboard), &d); err != nil {
		t.Fatal(err)
	}
	if d.UID == "" || d.Title == "" || len(d.Templating.List) != 2 || d.Templating.List[0].Name != "datasource" || d.Templating.List[1].Name != "instance" {
		t.Errorf("%+v", d)
	}
	return d.Panels
}

// plain is the expression of a panel as Prometheus gets it from Grafana.
func plain(expr string) string {
	return strings.NewReplacer("$__rate_interval", "5m", "$instance", ".*").Replace(expr)
}

// Panels have a place, a title and a name of their own.
func TestDashboard(t *testing.T) {
	ids, taken := map[int]bool{}, map[[2]int]string{}
	for _, p := range panels(t) {
		if ids[p.ID] || p.Title == "" || p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("%+v", p)
		}
		ids[p.ID] = true
		g := p.GridPos
		for x := g.X; x < g.X+g.W; x++ {
			for y := g.Y; y < g.Y+g.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("%q lies over %q at %d, %d", p.Title, other, x, y)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		for _, target := range p.Targets {
			if target.LegendFormat == "" || target.RefID == "" || strings.Contains(plain(target.Expr), "$") {
				t.Errorf("%q: %+v", p.Title, target)
			}
		}
	}
}

var series = regexp.MustCompile(`^([a-z0-9_]+)(?:\{(.*)\})? `)

// Each expression of the dashboard has a value where a node shows everything: an
// alert for each, that fires when it has, on the very samples of the exposition.
func TestDashboardHasValues(t *testing.T) {
	type alert struct {
		Alert string `json:"alert"`
		Expr  string `json:"expr"`
	}
	var all []alert
	var want []map[string]any
	for _, p := range panels(t) {
		for _, target := range p.Targets {
			name := fmt.Sprintf("panel%d%s", p.ID, target.RefID)
			all = append(all, alert{name, "count(" + plain(target.Expr) + ") > 0"})
			want = append(want, map[string]any{"labels": fmt.Sprintf("{alertname=%q}", name), "value": 1})
		}
	}
	in := []map[string]string{
		{"series": `process_resident_memory_bytes{instance="node-a"}`, "values": "1+0x40"},
		{"series": `process_cpu_seconds_total{instance="node-a"}`, "values": "0+1x40"},
		// Methods and codes of requests; the golden file leaves out what takes a time of its own.
		{"series": `vpcchain_rpc_duration_seconds_count{method="Assign",code="ResourceExhausted",instance="node-a"}`, "values": "0+1x40"},
		{"series": `vpcchain_rpc_duration_seconds_bucket{method="Assign",code="OK",le="+Inf",instance="node-a"}`, "values": "0+1x40"},
		{"series": `vpcchain_plugin_duration_seconds_bucket{plugin="vpc-ipam",verb="DEL",result="ok",le="+Inf",instance="node-a"}`, "values": "0+1x40"},
		{"series": `vpcchain_ec2_bucket_wait_seconds_total{action="CreateNetworkInterface",instance="node-a"}`, "values": "0+1x40"},
	}
	for l := range strings.Lines(string(read(t, exposition))) {
		if m := series.FindStringSubmatch(l); m != nil {
			labels := strings.TrimPrefix(m[2]+`,instance="node-a"`, ",")
			in = append(in, map[string]string{"series": m[1] + "{" + labels + "}", "values": "0+1x40"})
		}
	}
	dir := t.TempDir()
	for name, v := range map[string]any{
		"panels.yaml": map[string]any{"groups": []any{map[string]any{"name": "panels", "rules": all}}},
		"test.yaml": map[string]any{
			"rule_files": []string{"panels.yaml"}, "evaluation_interval": "30s", "tests": []any{map[string]any{
				"interval": "30s", "input_series": in, "promql_expr_test": []any{map[string]any{
					"expr": `count by (alertname) (ALERTS{alertstate="firing"})`, "eval_time": "15m", "exp_samples": want,
				}},
			}},
		},
	} {
		raw, err := yaml.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	promtool(t, dir, nil, "test", "rules", "test.yaml")
}

var (
	selector = regexp.MustCompile(`\b(vpcchain_[a-z0-9_]+|awscni_[a-z0-9_]+)\s*(?:\{([^}]*)\})?`)
	matcher  = regexp.MustCompile(`(\w+)\s*(?:=~|!~|!=|=)`)
	grouping = regexp.MustCompile(`\b(?:by|on)\s*\(([^)]*)\)`)
	family   = regexp.MustCompile(`(?m)^# TYPE (\S+) (\S+)$`)
	label    = regexp.MustCompile(`(\w+)="`)
)

// labelsShown are the labels of each series of the exposition, by its name.
func labelsShown(t *testing.T) map[string]map[string]bool {
	t.Helper()
	out := map[string]map[string]bool{}
	// Not in the golden file, because they are times.
	for _, suffix := range []string{"_bucket", "_count", "_sum"} {
		out["vpcchain_rpc_duration_seconds"+suffix] = map[string]bool{"method": true, "code": true}
	}
	out["vpcchain_ec2_bucket_wait_seconds_total"] = map[string]bool{"action": true}
	for l := range strings.Lines(string(read(t, exposition))) {
		m := series.FindStringSubmatch(l)
		if m == nil {
			continue
		}
		if out[m[1]] == nil {
			out[m[1]] = map[string]bool{}
		}
		for _, n := range label.FindAllStringSubmatch(m[2], -1) {
			out[m[1]][n[1]] = true
		}
	}
	return out
}

// Alerts and panels ask for metrics that there are, by labels that those have;
// and each metric of ours is in one or the other, so that none is forgotten.
func TestMetricsExist(t *testing.T) {
	shown, used := labelsShown(t), map[string]bool{}
	expressions := map[string]string{}
	for _, r := range rules(t) {
		expressions["alert "+r.Alert] = r.Expr
	}
	for _, p := range panels(t) {
		for _, target := range p.Targets {
			expressions["panel "+p.Title+" "+target.RefID] = plain(target.Expr)
		}
	}
	for name, expr := range expressions {
		known := map[string]bool{"instance": true, "job": true, "le": true}
		for _, m := range selector.FindAllStringSubmatch(expr, -1) {
			labels, ok := shown[m[1]]
			if !ok {
				t.Errorf("%s: vpc-ipamd shows no %s", name, m[1])
				continue
			}
			maps.Copy(known, labels)
			used[strings.TrimSuffix(strings.TrimSuffix(m[1], "_bucket"), "_count")] = true
			for _, l := range matcher.FindAllStringSubmatch(m[2], -1) {
				if !labels[l[1]] && l[1] != "instance" {
					t.Errorf("%s: %s has no label %s", name, m[1], l[1])
				}
			}
		}
		for _, m := range grouping.FindAllStringSubmatch(expr, -1) {
			for l := range strings.SplitSeq(m[1], ",") {
				if !known[strings.TrimSpace(l)] {
					t.Errorf("%s: none of its metrics has a label %s", name, l)
				}
			}
		}
	}
	// Shown for other reasons: aliases, totals that others give by label, moments.
	aside := []string{
		"vpcchain_eni_addresses_assigned", "vpcchain_enis_attached", "vpcchain_assign_requests_total", "vpcchain_release_requests_total", "vpcchain_loop_rounds_total",
	}
	for _, m := range family.FindAllStringSubmatch(string(read(t, exposition)), -1) {
		if name := m[1]; strings.HasPrefix(name, "vpcchain_") && !used[name] && !slices.Contains(aside, name) {
			t.Errorf("neither an alert nor a panel has %s", name)
		}
	}
}
