package rules

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// tracked are the repository's files; outside a git checkout, all but bin.
func tracked(t *testing.T) []string {
	t.Helper()
	cmd := exec.Command("git", "ls-files", "-co", "--exclude-standard")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("git ls-files: %v", err)
	}
	var files []string
	for f := range strings.FieldsSeq(string(out)) {
		if _, err := os.Stat(filepath.Join(root, f)); err == nil {
			files = append(files, f)
		}
	}
	return files
}

const (
	maxLines    = 300
	maxFunction = 60
)

// Files are read in one sitting, functions on one screen.
func TestSizesOfSource(t *testing.T) {
	for _, f := range tracked(t) {
		if !strings.HasSuffix(f, ".go") || strings.HasSuffix(f, ".pb.go") {
			continue
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, filepath.Join(root, f), nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		test := strings.HasSuffix(f, "_test.go")
		if n := set.File(file.Pos()).LineCount(); n > maxLines && !test {
			t.Errorf("%s has %d lines, more than %d", f, n, maxLines)
		}
		if file.Name.Name == "utils" || file.Name.Name == "util" || file.Name.Name == "common" {
			t.Errorf("%s: package %s says nothing of what it is for", f, file.Name.Name)
		}
		for _, d := range file.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if n := set.Position(fn.End()).Line - set.Position(fn.Pos()).Line + 1; n > maxFunction && !test {
				t.Errorf("%s: %s has %d lines, more than %d", f, fn.Name, n, maxFunction)
			}
			if fn.Name.Name == "init" && fn.Recv == nil {
				t.Errorf("%s has an init function", f)
			}
		}
	}
}

// What nobody else can follow does not belong here: a machine's own paths, and
// work that is announced instead of done.
func TestNoLeftovers(t *testing.T) {
	bad := regexp.MustCompile(`(?i)/(work|home|root)/[a-z]|\b(TO` + `DO|FIX` + `ME|XX` + `X)\b`)
	for _, f := range tracked(t) {
		raw, err := os.ReadFile(filepath.Join(root, f))
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for line := range strings.Lines(string(raw)) {
			n++
			if m := bad.FindString(line); m != "" {
				t.Errorf("%s:%d has %q", f, n, m)
			}
		}
	}
}

// A link of a document leads somewhere.
func TestDocumentLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)
	for _, f := range tracked(t) {
		if !strings.HasSuffix(f, ".md") {
			continue
		}
		raw, err := os.ReadFile(filepath.Join(root, f))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(raw), -1) {
			if _, err := os.Stat(filepath.Join(root, filepath.Dir(f), m[1])); err != nil {
				t.Errorf("%s links to %s, which is not there", f, m[1])
			}
		}
	}
}

// The README names the two commands, and each target has its help.
func TestCommands(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{"demo", "test"} {
		if !strings.Contains(string(readme), "\nmake "+target+" ") {
			t.Errorf("the README does not name make %s", target)
		}
	}
	for _, target := range []string{"demo", "test", "test-runtimes", "build", "lint", "fmt", "verify", "clean"} {
		if !regexp.MustCompile(`(?m)^` + target + `:.*## \S`).Match(makefile) {
			t.Errorf("make %s is missing or has no help", target)
		}
	}
	ci, err := os.ReadFile(filepath.Join(root, ".ci/run"))
	for _, suite := range []string{"make test", "make test-runtimes ADD=1", "make test-kubernetes-if-built"} {
		if err != nil || !strings.Contains(string(ci), "\n"+suite+" || status=1\n") {
			t.Errorf(".ci/run does not run %s, or forgets how it ended: %q, %v", suite, ci, err)
		}
	}
}

// The conflist that the README shows is the one that ships.
func TestREADMEShowsTheConflist(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	conflist, err := os.ReadFile(filepath.Join(root, "conflist/10-vpc.conflist"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(readme), "```json\n"+strings.TrimSpace(string(conflist))+"\n```") {
		t.Error("the README does not show conflist/10-vpc.conflist as it is")
	}
}
