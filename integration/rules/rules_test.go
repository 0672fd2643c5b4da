// Package rules holds the repository's rules as tests: who may import whom,
// what may be linked where, sizes, documentation, the shipped conflists.
package rules

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containernetworking/cni/libcni"
)

const (
	root   = "../.."
	module = "github.com/vpcchain/vpcchain/"
)

// pkg is what `go list -json` says of a package.
type pkg struct {
	ImportPath, Name, Doc, Dir string
	Imports, Deps              []string
	Standard                   bool
}

func list(t *testing.T, patterns ...string) []pkg {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-json=ImportPath,Name,Doc,Dir,Imports,Deps,Standard"}, patterns...)...) //nolint:gosec // the test's own words
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); dec.More(); {
		var p pkg
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

// area is the first element of a path inside the module, "" for others'.
func area(path string) string {
	inside, ok := strings.CutPrefix(path, module)
	if !ok {
		return ""
	}
	first, _, _ := strings.Cut(inside, "/")
	return first
}

func TestImportDirection(t *testing.T) {
	may := map[string][]string{"pkg": {"pkg"}, "plugins": {"pkg"}, "daemon": {"pkg", "daemon"}, "integration": {"pkg", "integration"}}
	for _, p := range list(t, "./...") {
		from := area(p.ImportPath)
		for _, i := range p.Imports {
			if to := area(i); to != "" && !slices.Contains(may[from], to) {
				t.Errorf("%s imports %s", p.ImportPath, i)
			}
		}
	}
}

func TestWhatIsLinked(t *testing.T) {
	kube := []string{module + "daemon/vpc-kube", module + "daemon/internal/kubeapi"}
	for _, p := range list(t, "./plugins/...", "./pkg/...", "./daemon/...") {
		for _, d := range p.Deps {
			plugin := area(p.ImportPath) == "plugins"
			switch {
			case plugin && (strings.HasPrefix(d, "github.com/aws/") || strings.HasPrefix(d, "k8s.io/") || strings.HasPrefix(d, "sigs.k8s.io/")),
				plugin && (d == "google.golang.org/grpc" || d == "net/http" || strings.HasPrefix(d, "google.golang.org/protobuf/")), // they cost each start a millisecond
				strings.HasPrefix(d, "k8s.io/") && !slices.Contains(kube, p.ImportPath),
				area(p.ImportPath) == "pkg" && strings.HasPrefix(d, "github.com/aws/"):
				t.Errorf("%s links %s", p.ImportPath, d)
			}
		}
		for _, i := range p.Imports {
			if strings.HasPrefix(i, "github.com/aws/") && p.ImportPath != module+"daemon/internal/cloud" {
				t.Errorf("%s imports %s: EC2 and IMDS have one door, daemon/internal/cloud", p.ImportPath, i)
			}
		}
	}
}

func TestEveryPackageIsDocumented(t *testing.T) {
	for _, p := range list(t, "./...") {
		if strings.HasPrefix(p.Doc, "Package "+p.Name) || p.Name == "main" && strings.HasPrefix(p.Doc, "Command "+filepath.Base(p.Dir)) {
			continue
		}
		if p.Doc == "" && onlyTests(t, p.Dir) {
			continue
		}
		t.Errorf("%s: its package comment is %q", p.ImportPath, p.Doc)
	}
}

func onlyTests(t *testing.T, dir string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	return !slices.ContainsFunc(files, func(f string) bool { return !strings.HasSuffix(f, "_test.go") })
}

// Every shipped conflist is one that libcni takes, in every version that it
// names, and each of its plugins is ours or among those that make build makes.
func TestConflists(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, "conflist/*.conflist"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no conflists: %v", err)
	}
	upstream := tools(t)
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		l, err := libcni.NetworkConfFromBytes(raw)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		var plain struct {
			CNIVersion  string   `json:"cniVersion"`
			CNIVersions []string `json:"cniVersions"`
		}
		if err := json.Unmarshal(raw, &plain); err != nil {
			t.Fatal(err)
		}
		if plain.CNIVersion != "1.0.0" || !slices.Equal(plain.CNIVersions, []string{"1.0.0", "1.1.0"}) || l.CNIVersion != "1.1.0" {
			t.Errorf("%s: versions %q and %q, libcni takes %s", file, plain.CNIVersion, plain.CNIVersions, l.CNIVersion)
		}
		for _, p := range l.Plugins {
			_, err := os.Stat(filepath.Join(root, "plugins", p.Network.Type))
			if err != nil && !upstream[p.Network.Type] {
				t.Errorf("%s: nobody makes %s", file, p.Network.Type)
			}
		}
	}
}

// tools are the commands of tools/cni.
func tools(t *testing.T) map[string]bool {
	t.Helper()
	f, err := os.Open(filepath.Join(root, "tools/cni/go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	out := map[string]bool{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if path := strings.TrimSpace(lines.Text()); strings.HasPrefix(path, "github.com/containernetworking/") && !strings.Contains(path, " ") {
			out[filepath.Base(path)] = true
		}
	}
	return out
}
