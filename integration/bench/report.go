package main

import (
	"bufio"
	"bytes"
	"debug/buildinfo"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// head tells where and of what a report is.
func head(bin, commit string) string {
	var kernel unix.Utsname
	release := "unknown"
	if unix.Uname(&kernel) == nil {
		release, _, _ = strings.Cut(unix.ByteSliceToString(kernel.Release[:]), "-") // the rest names a build
	}
	version := "unknown"
	if info, err := buildinfo.ReadFile(filepath.Join(bin, "cni", "ptp")); err == nil {
		version = info.Main.Version
		for _, d := range info.Deps {
			if d.Path == "github.com/containernetworking/plugins" {
				version = d.Version
			}
		}
	}
	return fmt.Sprintf("%s, commit %s: %d cores of %s, Linux %s, %s, containernetworking/plugins %s. Load of the machine at the end: %s.",
		time.Now().UTC().Format("2 January 2006, 15:04 UTC"), commit, runtime.NumCPU(), processor(), release, runtime.Version(), version, load())
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

const intro = `# Performance

Written by ` + "`make bench`" + `: pods added and deleted through libcni on a node of a simulation whose pool is warm, each variant in turns with
the others. The floor is an empty Go binary, executed as often as the variant executes plugins and as many at once. Times vary between
runs by a factor of two or more with what else the machine does, so what counts are the ratios.

`

func (s samples) print(out io.Writer, all []variant, widths []int, head string) {
	fmt.Fprint(out, intro, head, "\n")
	for _, w := range widths {
		fmt.Fprintf(out, "\n## %s\n\n| what | n | p50 ms | p90 ms | p99 ms | p50 / floor | p50 / ptp, host-local |\n|---|---|---|---|---|---|---|\n", title(w))
		for _, what := range []string{"ADD", "DEL"} {
			for _, v := range all {
				floor := key{"empty", fmt.Sprint(v.execs), w}
				upstream := key{what, "ptp, host-local", w}
				s.row(out, key{what, v.name, w}, what+": "+v.name, floor, upstream)
			}
		}
		seen := map[int]bool{}
		for _, v := range all {
			if !seen[v.execs] {
				seen[v.execs] = true
				floor := key{"empty", fmt.Sprint(v.execs), w}
				s.row(out, floor, fmt.Sprintf("floor: %d executions", v.execs), floor, key{"ADD", "ptp, host-local", w})
			}
		}
	}
}

func title(width int) string {
	if width == 1 {
		return "One pod at a time"
	}
	return fmt.Sprintf("%d pods at once", width)
}

func (s samples) row(out io.Writer, k key, name string, floor, upstream key) {
	p50 := s.quantile(k, 0.5)
	fmt.Fprintf(out, "| %s | %d | %.1f | %.1f | %.1f | %.2f | %.2f |\n", name, len(s[k]), ms(p50), ms(s.quantile(k, 0.9)), ms(s.quantile(k, 0.99)),
		float64(p50)/float64(s.quantile(floor, 0.5)), float64(p50)/float64(s.quantile(upstream, 0.5)))
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
