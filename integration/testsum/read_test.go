package main

import (
	"os"
	"strings"
	"testing"
)

const stream = `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"run","Package":"p","Test":"TestB"}
{"Action":"run","Package":"p","Test":"TestB/one"}
{"Action":"pass","Package":"p","Test":"TestB/one"}
{"Action":"run","Package":"p","Test":"TestB/two"}
{"Action":"output","Package":"p","Test":"TestB/two","Output":"    x_test.go:7: needs root: it makes namespaces\n"}
{"Action":"skip","Package":"p","Test":"TestB/two"}
{"Action":"pass","Package":"p","Test":"TestB"}
{"Action":"run","Package":"p","Test":"FuzzC"}
{"Action":"run","Package":"p","Test":"FuzzC/seed#0"}
{"Action":"pass","Package":"p","Test":"FuzzC/seed#0"}
{"Action":"pass","Package":"p","Test":"FuzzC"}
`

func TestRead(t *testing.T) {
	for _, tc := range []struct {
		name, more              string
		passed, failed, skipped int
	}{
		{"all pass", `{"Action":"pass","Package":"p"}`, 3, 0, 1},
		{"a test fails", `{"Action":"fail","Package":"p","Test":"TestD"}` + "\n" + `{"Action":"fail","Package":"p"}`, 3, 1, 1},
		{"the package fails alone", `{"Action":"output","Package":"p","Output":"panic: x"}` + "\n" + `{"Action":"fail","Package":"p"}`, 3, 1, 1},
		{"noise on stdout", "not json\n" + `{"Action":"pass","Package":"p"}`, 3, 0, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := &Sum{}
			s.read(strings.NewReader(stream + tc.more + "\n"))
			if s.Passed != tc.passed || s.Failed != tc.failed || s.Skipped != tc.skipped {
				t.Errorf("%d passed, %d failed, %d skipped", s.Passed, s.Failed, s.Skipped)
			}
			if len(s.Skips) != 1 || !strings.Contains(s.Skips[0], "needs root: it makes namespaces") {
				t.Errorf("skips %q", s.Skips)
			}
		})
	}
}

func TestClose(t *testing.T) {
	var b strings.Builder
	if code := (&Sum{Passed: 2, Skipped: 1, Skips: []string{"x: why"}}).close(&b); code != 0 || !strings.HasSuffix(b.String(), "\n2 passed, 0 failed, 1 skipped\n") {
		t.Errorf("exit %d, %q", code, b.String())
	}
	if code := (&Sum{}).close(&b); code == 0 {
		t.Error("a run without tests passed")
	}
	if code := (&Sum{Passed: 2, Failed: 1}).close(&b); code == 0 {
		t.Error("a failed run passed")
	}
}

func FuzzRead(f *testing.F) {
	f.Add(stream)
	f.Fuzz(func(t *testing.T, text string) {
		stdout := os.Stdout
		os.Stdout, _ = os.Open(os.DevNull) // failures are printed
		defer func() { os.Stdout = stdout }()
		(&Sum{}).read(strings.NewReader(text))
	})
}
