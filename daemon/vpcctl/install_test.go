package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The plan and the report of an installation and of its removal, as people and as
// programs read them.
func TestInstallReports(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"vpc-ipam", "vpc-veth", "vpc-snat", "vpc-sgpp", "portmap", "loopback"} {
		if err := os.MkdirAll(filepath.Join(dir, "src"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "src", name), []byte("plugin"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	where := []string{"--source", dir + "/src", "--bin-dir", dir + "/bin", "--conf-dir", dir + "/conf", "--rt-tables-dir", dir + "/tables"}
	var all strings.Builder
	ctl := func(line ...string) {
		t.Helper()
		var out bytes.Buffer
		code, err := run(t.Context(), line, func(string) string { return "" }, &out)
		if code != 0 || err != nil {
			t.Errorf("%v: %d, %v", line[0], code, err)
		}
		all.WriteString("$ vpcctl " + line[0] + " … " + strings.Join(line[len(line)-2:], " ") + "\n" + strings.ReplaceAll(out.String(), dir, "DIR"))
	}
	install := append([]string{"install"}, where...)
	ctl(append(install, "--wait=3s", "--dry-run", "--json")...)
	ctl(append(install, "--wait=0", "--json")...)
	ctl(append(install, "--wait=0", "--dry-run")...)
	ctl(append(install, "--wait=0", "--dry-run", "--json")...)
	golden(t, "install.txt", all.String())
	if _, err := os.Stat(dir + "/conf/10-vpc.conflist"); err != nil {
		t.Error(err)
	}
}

// A removal reports what it took from the kernel apart from the files.
func TestUninstallReports(t *testing.T) {
	namespace(t)
	dir := t.TempDir()
	veth(t, "enia1", "vpc/c1/eth0", "10.0.0.4")
	var out bytes.Buffer
	code, err := run(t.Context(), []string{"uninstall", "--bin-dir", dir, "--state-dir", dir, "--force", "--dry-run", "--json"}, func(string) string { return "" }, &out)
	var v reporter
	if jerr := json.Unmarshal(out.Bytes(), &v); jerr != nil || err != nil || code != 0 || !v.DryRun {
		t.Fatalf("%d, %v, %v\n%s", code, err, jerr, out.String())
	}
	kinds := map[string]int{}
	for _, c := range v.Changes {
		kinds[c.Kind]++
	}
	if kinds["note"] != 1 || kinds["kernel"] == 0 {
		t.Errorf("%v in\n%s", kinds, out.String())
	}
}
