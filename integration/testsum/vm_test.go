package main

import (
	"os"
	"strings"
	"testing"
)

// Tests of 802.1Q that did not run, or were skipped where they had to run, are
// failures: nothing else runs them.
func TestVMThatDoesNotRun(t *testing.T) {
	const pkg = "github.com/vpcchain/vpcchain/integration/vm"
	for name, tc := range map[string]struct{ runner, want string }{
		"nothing starts":   {"/bin/true", pkg + " ^TestVLAN"},
		"the guest fails":  {"/bin/false", "virtual machine"},
		"there is no such": {"/nonexistent", "virtual machine"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &Sum{}
			s.vm(tc.runner, []string{"../vm"})
			if os.Geteuid() != 0 {
				if s.Skipped != 1 || s.Failed != 0 {
					t.Errorf("not root: %+v", s)
				}
				return
			}
			if s.Passed != 0 || len(s.Failures) == 0 || s.Failures[0] != tc.want {
				t.Errorf("%+v, want %q among the failures", s, tc.want)
			}
		})
	}
}

func TestGuestResult(t *testing.T) {
	const pass, skip = "=== RUN   TestVLANA\n--- PASS: TestVLANA (0.00s)\n", "=== RUN   TestVLANB\n    b_test.go:3: why\n--- SKIP: TestVLANB (0.00s)\n"
	for name, tc := range map[string]struct {
		out, status    string
		passed, failed int
	}{
		"passes":           {pass + skip + "PASS\n", "0 7", 1, 0},
		"skips only":       {skip + "PASS\n", "0 7", 0, 1},
		"none":             {"PASS\n", "0 7", 0, 1},
		"a test fails":     {pass + "=== RUN   TestVLANC\n--- FAIL: TestVLANC (0.00s)\nFAIL\n", "1 7", 1, 1},
		"panics":           {pass + "panic: x\n", "2 7", 0, 1},
		"the guest is cut": {pass, "", 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			binary := t.TempDir() + "/0.test"
			for suffix, text := range map[string]string{"": "", ".out": tc.out, ".status": tc.status} {
				if err := os.WriteFile(binary+suffix, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			s := &Sum{}
			s.guestResult(vlanPackage{path: "p"}, binary)
			if s.Passed != tc.passed || s.Failed != tc.failed || strings.Contains(name, "skip") && s.Skipped != 1 {
				t.Errorf("%+v", s)
			}
		})
	}
}
