package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"sort"
	"strings"
)

// event is one line of `go test -json` (see `go doc test2json`).
type event struct {
	Action, Package, Test, Output, ImportPath string
	Elapsed                                   float64
}

// tests collects the events of one run.
type tests struct {
	output  map[string][]string // by package and test
	verdict map[string]string   // by package and test: pass, fail, skip
	parent  map[string]bool     // has subtests, which count in its place
	build   map[string][]string // compiler output by import path
}

func key(pkg, test string) string { return pkg + "\x00" + test }

func (s *Sum) read(r io.Reader) {
	t := &tests{map[string][]string{}, map[string]string{}, map[string]bool{}, map[string][]string{}}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			// Not the protocol: something wrote past the test framework.
			fmt.Println(lines.Text())
			continue
		}
		t.add(e)
		if e.Test == "" && (e.Action == "pass" || e.Action == "fail" || e.Action == "skip") {
			s.packageDone(t, e)
		}
	}
}

func (t *tests) add(e event) {
	switch k := key(e.Package, e.Test); e.Action {
	case "output":
		t.output[k] = append(t.output[k], e.Output)
	case "build-output":
		t.build[e.ImportPath] = append(t.build[e.ImportPath], e.Output)
	case "run":
		if i := strings.LastIndex(e.Test, "/"); i > 0 && !strings.HasPrefix(e.Test, "Fuzz") {
			t.parent[key(e.Package, e.Test[:i])] = true
		}
	case "pass", "fail", "skip":
		if e.Test != "" {
			t.verdict[k] = e.Action
		}
	}
}

// packageDone counts a package's tests: those without subtests, a fuzz target
// with its seeds as one.
func (s *Sum) packageDone(t *tests, e event) {
	prefix := e.Package + "\x00"
	var names []string
	for k := range t.verdict {
		if after, ok := strings.CutPrefix(k, prefix); ok {
			names = append(names, after)
		}
	}
	sort.Strings(names)
	failed := 0
	for _, name := range names {
		k := key(e.Package, name)
		if strings.HasPrefix(name, "Fuzz") && strings.Contains(name, "/") {
			continue
		}
		switch verdict := t.verdict[k]; {
		case verdict == "fail":
			failed++
			s.fail(e.Package+" "+name, strings.Join(t.output[k], ""))
		case t.parent[k]:
		case verdict == "skip":
			s.Skipped++
			s.Skips = append(s.Skips, e.Package+" "+name+": "+reason(t.output[k]))
		default:
			s.Passed++
		}
		delete(t.verdict, k)
	}
	if e.Action == "fail" && failed == 0 {
		s.fail(e.Package, t.all(prefix))
	}
	if e.Action == "pass" && len(names) > 0 {
		fmt.Printf("ok   %-60s %6.1f s\n", e.Package, e.Elapsed)
	}
}

// all is what a package printed that failed without a failed test: it did not
// build, panicked outside a test, or ran out of time.
func (t *tests) all(prefix string) string {
	var text strings.Builder
	text.WriteString(strings.Join(t.output[prefix], ""))
	for _, out := range t.build {
		text.WriteString(strings.Join(out, ""))
	}
	for k, out := range t.output {
		if strings.HasPrefix(k, prefix) && k != prefix {
			text.WriteString(strings.Join(out, ""))
		}
	}
	return text.String()
}

// reason is the text of t.Skip: the line before "--- SKIP".
func reason(output []string) string {
	for _, line := range output {
		if _, text, ok := strings.Cut(line, ".go:"); ok {
			if _, why, ok := strings.Cut(text, ": "); ok {
				return strings.TrimSpace(why)
			}
		}
	}
	return "no reason given"
}
