package metrics

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// table is the list of metrics for people.
func table() string {
	var b strings.Builder
	b.WriteString("| metric | what it says | stock CNI |\n|---|---|---|\n")
	for _, f := range Families() {
		name := "`" + f.Name + "`"
		if len(f.Labels) > 0 {
			name = fmt.Sprintf("`%s{%s}`", f.Name, strings.Join(f.Labels, ","))
		}
		stock := ""
		if s := f.Stock; s.Name != "" {
			labels := append([]string(nil), s.Labels...)
			for k, v := range s.Always {
				labels = append(labels, fmt.Sprintf("%s=%q", k, v))
			}
			stock = "`" + s.Name + "`"
			if len(labels) > 0 {
				stock = fmt.Sprintf("`%s{%s}`", s.Name, strings.Join(labels, ","))
			}
		}
		fmt.Fprintf(&b, "| %s, %s | %s | %s |\n", name, f.Type, f.Help, stock)
	}
	return b.String()
}

// docs/metrics.md has the table of the code, so a new name, or another one, shows
// where operators read it.
func TestDocumented(t *testing.T) {
	const path, begin, end = "../../../docs/metrics.md", "<!-- families -->\n", "<!-- end of families -->"
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(raw), begin)
	have, tail, also := strings.Cut(rest, end)
	if !ok || !also {
		t.Fatalf("%s has no place for the table", path)
	}
	if *update {
		if err := os.WriteFile(path, []byte(head+begin+table()+end+tail), 0o600); err != nil {
			t.Fatal(err)
		}
		have = table()
	}
	if d := cmp.Diff(table(), have); d != "" {
		t.Errorf("%s (-code +document), -args -update writes it:\n%s", path, d)
	}
}
