// Package performance writes docs/performance.md, a section at a time. Each part
// of the benchmarks can be run alone: it replaces its own section and leaves the
// others as they are, so each section says when, where and of what it was made.
package performance

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// The titles of the sections. An earlier section under another title stays, at the end.
const (
	Chain   = "ADD and DEL"
	Path    = "Packets through a node"
	Streams = "Throughput"
	Daemon  = "The daemon"
	Sizes   = "Sizes of the programs"
	Fleet   = "A fleet of nodes"
)

// order of the sections in the document.
func order() []string { return []string{Chain, Path, Streams, Daemon, Sizes, Fleet} }

const intro = `# Performance

Written by ` + "`make bench`" + `, a section at a time: ` + "`make bench BENCH=chain,path`" + ` replaces those alone, so each says when, where and of what it was
made. What is compared was measured in turns within one run. The same machine varies by a factor of two and more with what else
it does; what counts are the ratios.
`

// Section is what one part of the benchmarks found.
type Section struct {
	Title string // one of the constants
	Made  string // when, of what and where: a Run's String
	Body  string // Markdown; its headings begin with ###
}

// maxFile bounds what is read back of a document, in bytes.
const maxFile = 1 << 20

// Put writes the section into the document, in place of the one with its title.
// Two parts that end at the same time wait for each other.
func Put(file string, s Section) error {
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o644) //nolint:gosec // a document
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("locking %s: %w", file, err)
	}
	old, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return fmt.Errorf("reading %s: %w", file, err)
	}
	text := put(string(old), s)
	if err := f.Truncate(0); err != nil {
		return fmt.Errorf("writing %s: %w", file, err)
	}
	if _, err := f.WriteAt([]byte(text), 0); err != nil {
		return fmt.Errorf("writing %s: %w", file, err)
	}
	return f.Close()
}

// put is the document with the section in it. What stands before the first
// section is written anew.
func put(old string, s Section) string {
	type part struct{ title, text string }
	parts := []part{{s.Title, fmt.Sprintf("## %s\n\n%s\n\n%s\n", s.Title, s.Made, strings.TrimSpace(s.Body))}}
	for i, text := range strings.Split("\n"+old, "\n## ") {
		text = strings.TrimSpace(text)
		title, _, _ := strings.Cut(text, "\n")
		title = strings.TrimSpace(title)
		if i > 0 && title != s.Title {
			parts = append(parts, part{title, "## " + text + "\n"})
		}
	}
	rank := func(p part) int {
		if i := slices.Index(order(), p.title); i >= 0 {
			return i
		}
		return len(order())
	}
	slices.SortStableFunc(parts, func(a, b part) int { return rank(a) - rank(b) })
	var b bytes.Buffer
	b.WriteString(intro)
	for _, p := range parts {
		b.WriteString("\n" + p.text)
	}
	return b.String()
}
