package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the tables of the README and the golden files")

// The README's tables are those of the code.
func TestREADME(t *testing.T) {
	raw, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	got := string(raw)
	var subcommands, codes strings.Builder
	subcommands.WriteString("| `vpcctl` | |\n|---|---|\n")
	for _, c := range commands() {
		fmt.Fprintf(&subcommands, "| `%s` | %s |\n", strings.ReplaceAll(c.synopsis(), "|", "\\|"), c.short)
	}
	codes.WriteString("| exit code | meaning |\n|---|---|\n")
	for _, o := range exitCodes() {
		fmt.Fprintf(&codes, "| %d | %s |\n", o.code, o.when)
	}
	want := between(t, between(t, got, "commands", subcommands.String()), "exit codes", codes.String())
	if *update {
		if err := os.WriteFile("README.md", []byte(want), 0o644); err != nil { //nolint:gosec // a document
			t.Fatal(err)
		}
		return
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("write it with `go test ./daemon/vpcctl -args -update` (-want +got):\n%s", d)
	}
}

// between replaces what is between the marks of the name, to the next empty line.
func between(t *testing.T, text, name, content string) string {
	t.Helper()
	mark := "<!-- " + name + " -->\n"
	before, after, ok := strings.Cut(text, mark)
	_, rest, end := strings.Cut(after, "\n\n")
	if !ok || !end {
		t.Fatalf("README.md has no mark %q with an empty line behind its table", mark)
	}
	return before + mark + content + "\n" + rest
}

// Every subcommand explains itself, and its flags are those that its parser takes.
func TestTable(t *testing.T) {
	for _, c := range commands() {
		var help, again strings.Builder
		for out, line := range map[*strings.Builder][]string{&help: {c.name, "--help"}, &again: {"help", c.name}} {
			if code, err := run(t.Context(), line, os.Getenv, out); code != 0 || err != nil {
				t.Errorf("%v: %d, %v", line, code, err)
			}
		}
		if help.String() != again.String() || !strings.Contains(help.String(), c.short) {
			t.Errorf("%s explains itself as\n%s\nand\n%s", c.name, help.String(), again.String())
		}
		for _, o := range c.codes {
			if !slices.ContainsFunc(exitCodes(), func(all outcome) bool { return all.code == o.code && strings.Contains(all.when, o.when) }) {
				t.Errorf("%s: exit code %d is not among those of all", c.name, o.code)
			}
		}
		if _, err := run(t.Context(), []string{c.name, "--no-such-flag"}, os.Getenv, &help); err == nil || !strings.Contains(err.Error(), "vpcctl help "+c.name) {
			t.Errorf("%s takes any flag: %v", c.name, err)
		}
	}
}
