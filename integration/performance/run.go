package performance

import (
	"bufio"
	"bytes"
	"debug/buildinfo"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Run is when, where and of what figures are taken.
type Run struct {
	start  time.Time
	commit string
	load   string // when it began
	with   []string
}

// Begin starts a run of a commit. The machine's load is read now and at the end:
// figures taken beside other work are to be known as such.
func Begin(commit string) *Run { return &Run{start: time.Now(), commit: commit, load: load()} }

// With adds the version of something else that is measured.
func (r *Run) With(what string) { r.with = append(r.with, what) }

// String is the line under a section's heading, as of now.
func (r *Run) String() string {
	parts := append([]string{
		fmt.Sprintf("%d cores of %s", runtime.NumCPU(), processor()), "Linux " + kernel(), runtime.Version(),
	}, r.with...)
	return fmt.Sprintf("%s, commit %s: %s. Load of the machine %s at the beginning, %s at the end, %.0f s later.",
		r.start.UTC().Format("2 January 2006, 15:04 UTC"), r.commit, strings.Join(parts, ", "), r.load, load(), time.Since(r.start).Seconds())
}

// ModuleVersion is the version of a module that the program is built of or with.
func ModuleVersion(program, module string) string {
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return "unknown"
	}
	for _, d := range append(info.Deps, &info.Main) {
		if d.Path == module {
			return d.Version
		}
	}
	return "unknown"
}

func kernel() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return "unknown"
	}
	release, _, _ := strings.Cut(unix.ByteSliceToString(u.Release[:]), "-") // the rest names a build
	return release
}

// processor is the model as the kernel names it.
func processor() string {
	raw, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "an unknown processor"
	}
	for lines := bufio.NewScanner(bytes.NewReader(raw)); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "a " + runtime.GOARCH + " processor"
}

// load is the number of processes that ran or wanted to, over a minute.
func load() string {
	raw, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	first, _, _ := strings.Cut(string(raw), " ")
	return first
}
