package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func script(t *testing.T, shell string) string {
	t.Helper()
	var out bytes.Buffer
	if code, err := run(t.Context(), []string{"completion", shell}, os.Getenv, &out); code != 0 || err != nil {
		t.Fatalf("completion %s: %d, %v", shell, code, err)
	}
	return out.String()
}

// golden compares with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil { //nolint:gosec // no secret
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (-want +got):\n%s", name, d)
	}
}

// What bash itself answers for a line of words, the last of which is being typed.
func TestCompletionOfBash(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "ipamd.sock"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "inner"), 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "vpcctl")
	if err := os.WriteFile(path, []byte(script(t, "bash")), 0o600); err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, c := range withHelp() {
		all = append(all, c.name)
	}
	for _, tc := range []struct {
		words []string
		want  []string
	}{
		{[]string{""}, all},
		{[]string{"un"}, []string{"uninstall"}},
		{[]string{"help", "expl"}, []string{"explain"}},
		{[]string{"check", "--f"}, []string{"--fix"}},
		{[]string{"check", "--js"}, []string{"--json"}},
		{[]string{"status", ""}, nil},
		{[]string{"completion", ""}, []string{"bash", "zsh", "fish"}},
		{[]string{"completion", "z"}, []string{"zsh"}},
		{[]string{"completion", "bash", ""}, nil},
		{[]string{"max-pods", "--pre"}, []string{"--prefix"}},
		{[]string{"status", "--socket", dir + "/ip"}, []string{dir + "/ipamd.sock"}},
		{[]string{"status", "--socket", "=", dir + "/ip"}, []string{dir + "/ipamd.sock"}},
		{[]string{"status", "--socket", "="}, []string{"inner", "ipamd.sock", "vpcctl"}},
		{[]string{"uninstall", "--state-dir", dir + "/"}, []string{dir + "/inner"}},
		{[]string{"install", "--mtu", ""}, nil},
		{[]string{"install", "--snat-"}, []string{"--snat-chain-style", "--snat-backend"}},
		{[]string{"nothing", ""}, nil},
	} {
		// As readline does it: words and the index of the last one, then COMPREPLY.
		cmd := exec.CommandContext(t.Context(), "bash", "--norc", "-c",
			`source "$0" && COMP_WORDS=(vpcctl "$@") COMP_CWORD=$# && _vpcctl; printf '%s\n' "${COMPREPLY[@]}"; complete -p vpcctl`, path)
		cmd.Args = append(cmd.Args, tc.words...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%q: %v\n%s", tc.words, err, out)
		}
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		got, bound := slices.DeleteFunc(lines[:len(lines)-1], func(l string) bool { return l == "" }), lines[len(lines)-1]
		slices.Sort(got)
		slices.Sort(tc.want)
		if !slices.Equal(got, tc.want) || !strings.Contains(bound, "-F _vpcctl vpcctl") {
			t.Errorf("%q is completed to %q, want %q; bound as %q", tc.words, got, tc.want, bound)
		}
	}
}

// Every flag and subcommand is in each shell's script; that of zsh and of fish is
// compared with what was tried in them.
func TestCompletionOfTheOthers(t *testing.T) {
	golden(t, "completion.zsh", script(t, "zsh"))
	golden(t, "completion.fish", script(t, "fish"))
	for _, c := range commands() {
		for _, f := range c.flags {
			for shell, form := range map[string]string{"bash": "--" + f.name, "zsh": "'--" + f.name, "fish": "-l " + f.name} {
				if !strings.Contains(script(t, shell), form) {
					t.Errorf("%s has no %s of %s", shell, form, c.name)
				}
			}
		}
	}
}
