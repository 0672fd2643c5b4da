// Package chart tests what deploy/ ships without Helm: that the rendered
// manifest is of the chart as it is.
package chart

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const (
	chart    = "../../deploy/helm/vpcchain"
	rendered = "../../deploy/vpcchain.yaml"
)

// `make manifests` renders with Helm, which takes minutes to build, and writes
// digests of the chart's files and of its own result into the first lines. A
// change to either without the other shows here, in no time.
func TestRenderedIsOfThisChart(t *testing.T) {
	raw, err := os.ReadFile(rendered)
	if err != nil {
		t.Fatal(err)
	}
	head, body, ok := strings.Cut(string(raw), "---\n")
	if !ok {
		t.Fatalf("%s has no document", rendered)
	}
	for what, want := range map[string]string{"chart": digest(t), "manifest": sum([]byte(body))} {
		m := regexp.MustCompile(`(?m)^# ` + what + ` sha256:([0-9a-f]{64})$`).FindStringSubmatch(head)
		if m == nil || m[1] != want {
			t.Errorf("%s: its line of the %s is %q, want sha256:%s: run `make manifests`", rendered, what, m, want)
		}
	}
}

// digest is what `make manifests` computes: sha256sum of each file, by name,
// through sha256sum.
func digest(t *testing.T) string {
	t.Helper()
	var lines strings.Builder
	err := fs.WalkDir(os.DirFS(chart), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path == "README.md" {
			return err
		}
		raw, err := os.ReadFile(filepath.Join(chart, path))
		fmt.Fprintf(&lines, "%s  ./%s\n", sum(raw), path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sum([]byte(lines.String()))
}

func sum(raw []byte) string { return fmt.Sprintf("%x", sha256.Sum256(raw)) }
