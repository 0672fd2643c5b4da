package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// vlanTests are the tests of 802.1Q links. They are left out of every other run
// and run in a virtual machine instead, whose kernel has such links for sure.
const vlanTests = "^TestVLAN"

// vlanPackage has tests of 802.1Q links.
type vlanPackage struct{ path, dir string }

// vlanPackages finds them by their source: to ask each test binary for its list
// would mean to compile all of them.
func vlanPackages(patterns []string) ([]vlanPackage, error) {
	const format = `{{.ImportPath}}{{"\t"}}{{.Dir}}{{range .TestGoFiles}}{{"\t"}}{{.}}{{end}}{{range .XTestGoFiles}}{{"\t"}}{{.}}{{end}}`
	out, err := exec.Command("go", append([]string{"list", "-f", format}, patterns...)...).Output() //nolint:gosec // the Makefile's words
	if err != nil {
		return nil, fmt.Errorf("listing packages: %w", err)
	}
	var found []vlanPackage
	for line := range strings.Lines(string(out)) {
		fields := strings.Split(strings.TrimRight(line, "\n"), "\t")
		for _, file := range fields[2:] {
			raw, err := os.ReadFile(filepath.Join(fields[1], file))
			if err != nil {
				return nil, err
			}
			if bytes.Contains(raw, []byte("\nfunc "+strings.TrimPrefix(vlanTests, "^"))) {
				found = append(found, vlanPackage{fields[0], fields[1]})
				break
			}
		}
	}
	return found, nil
}

// vm runs the tests of 802.1Q links of the packages in one virtual machine. The
// binaries are built here: a compiler in the guest would take minutes.
func (s *Sum) vm(runner string, patterns []string) {
	pkgs, err := vlanPackages(patterns)
	if err != nil {
		s.fail("tests of 802.1Q", err.Error())
		return
	}
	if os.Geteuid() != 0 {
		for _, p := range pkgs {
			s.Skipped++
			s.Skips = append(s.Skips, p.path+" "+vlanTests+": needs root: they run in a virtual machine")
		}
		return
	}
	dir, err := os.MkdirTemp("", "testsum-vm")
	if err != nil {
		s.fail("tests of 802.1Q", err.Error())
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	var script strings.Builder
	script.WriteString("#!/bin/bash\n")
	for i, p := range pkgs {
		binary := filepath.Join(dir, fmt.Sprint(i, ".test"))
		build := exec.Command("go", "test", "-c", "-o", binary, p.path) //nolint:gosec // likewise
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			s.fail(p.path, string(out)+err.Error())
			continue
		}
		fmt.Fprintf(&script, "cd %q && %q -test.v=test2json -test.run %q -test.timeout 10m >%q 2>&1; echo \"$? $SECONDS\" >%q; SECONDS=0\n",
			p.dir, binary, vlanTests, binary+".out", binary+".status")
	}
	run := filepath.Join(dir, "run")
	if err := os.WriteFile(run, []byte(script.String()), 0o755); err != nil { //nolint:gosec // it is executed
		s.fail("tests of 802.1Q", err.Error())
		return
	}
	if len(pkgs) == 0 {
		return
	}
	failed, start := s.Failed, time.Now()
	guest := exec.Command(runner, run) //nolint:gosec // likewise
	// All packages in one boot: far above what they take, each has its own limit.
	guest.Env = append(os.Environ(), "VPCCHAIN_REQUIRE=root vlan", "VM_TIMEOUT=2400")
	if out, err := guest.CombinedOutput(); err != nil {
		s.fail("virtual machine", string(out)+err.Error())
	}
	for i, p := range pkgs {
		s.guestResult(p, filepath.Join(dir, fmt.Sprint(i, ".test")))
	}
	if s.Failed == failed {
		fmt.Printf("ok   %-60s %6.1f s\n", "virtual machine, the whole of it", time.Since(start).Seconds())
	}
}

// guestResult adds up what one test binary said in the guest.
func (s *Sum) guestResult(p vlanPackage, binary string) {
	if _, err := os.Stat(binary); err != nil {
		return // did not build, said already
	}
	out, err := os.ReadFile(binary + ".out")
	if err != nil {
		s.fail(p.path+" "+vlanTests, "did not run in the virtual machine")
		return
	}
	convert := exec.Command("go", "tool", "test2json", "-p", p.path)
	convert.Stdin = bytes.NewReader(out)
	events, err := convert.Output()
	if err != nil {
		s.fail(p.path, "reading the guest's output: "+err.Error())
		return
	}
	status, _ := os.ReadFile(binary + ".status")
	code, seconds, _ := strings.Cut(strings.TrimSpace(string(status)), " ")
	passed, failed := s.Passed, s.Failed
	s.read(strings.NewReader(elapsed(string(events), seconds)))
	switch {
	case s.Failed > failed:
	case code != "0":
		s.fail(p.path+" "+vlanTests, fmt.Sprintf("exit status %q in the virtual machine\n%s", code, out))
	case s.Passed == passed:
		// A skip is not enough: this is the kernel that has what the tests need.
		s.fail(p.path+" "+vlanTests, "no test passed in the virtual machine\n"+string(out))
	}
}

// elapsed adds the guest's seconds to the last event, which has none: the
// conversion does not see the test run.
func elapsed(events, seconds string) string {
	last, found := strings.CutSuffix(strings.TrimSpace(events), "}")
	if !found || seconds == "" {
		return events
	}
	return last + `,"Elapsed":` + seconds + "}\n"
}
