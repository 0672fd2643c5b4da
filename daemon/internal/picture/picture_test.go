package picture

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/daemon/internal/pool"
	"github.com/vpcchain/vpcchain/daemon/internal/recent"
)

var (
	update = flag.Bool("update", false, "write the golden files")
	write  = flag.String("write", "", "directory to write the whole pages to, to look at")
)

// The pages of three nodes, without the style.
func TestGolden(t *testing.T) {
	for _, s := range samples() {
		t.Run(s.name, func(t *testing.T) {
			whole := s.page().HTML()
			if *write != "" {
				if err := os.WriteFile(filepath.Join(*write, s.name+".html"), whole, 0o644); err != nil { //nolint:gosec // to be looked at
					t.Fatal(err)
				}
			}
			// A line for each element that matters, so that a difference can be read.
			got := bytes.ReplaceAll(whole, []byte(style), []byte("…"))
			for _, tag := range []string{"<div", "<tr", "<figure", "<g ", "<section", "<li", "</svg", "<p"} {
				got = bytes.ReplaceAll(got, []byte(tag), []byte("\n"+tag))
			}
			file := filepath.Join("testdata", s.name+".html")
			if *update {
				if err := os.WriteFile(file, got, 0o644); err != nil { //nolint:gosec // a golden file
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(string(got), "\n")); diff != "" {
				t.Error(diff)
			}
			if len(whole) > 64<<10 {
				t.Errorf("%d bytes", len(whole))
			}
		})
	}
}

// The samples have every state of a slot, and no two of them look alike, also
// without colours.
func TestEveryStateIsDrawn(t *testing.T) {
	var seen [states]int
	for _, s := range samples() {
		v := s.page()
		for st, n := range v.Counts {
			seen[st] += n
		}
	}
	drawn := map[string]string{}
	for st, l := range looks() {
		if seen[st] == 0 {
			t.Errorf("no sample has a slot that is %s", l.name)
		}
		// A square that is filled or dashed is a shape of its own.
		shape := string(l.shape)
		for _, mark := range []string{"stroke-dasharray", "{fill:var"} {
			for line := range strings.Lines(string(style)) {
				for rule := range strings.SplitSeq(line, "}") {
					if strings.Contains(rule, "."+string(l.class)+" rect") && strings.Contains(rule, mark) {
						shape += mark
					}
				}
			}
		}
		if other, ok := drawn[shape]; ok {
			t.Errorf("%s is drawn as %s is: %s", l.name, other, shape)
		}
		drawn[shape] = l.name
	}
}

// The page of a full node in prefix mode is made at once, and is not large.
func TestFullNode(t *testing.T) {
	v, b := node("m5.24xlarge", eni.Limits{ENIs: 15, IPv4PerENI: 50})
	b.Prefixes = true
	add(v, 0, true, "", true, append(some(pool.Used, 735), some(pool.Free, 17)...)...)
	var events []recent.Record
	for i := range 150 {
		events = append(events, recent.Record{At: now(), Text: strings.Repeat("x", 500), Attrs: strings.Repeat("y", i)})
	}
	least, size, most := time.Hour, 0, 20*time.Millisecond
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		most *= 10 // the race detector's share
	}
	for range 10 {
		began := time.Now()
		size = len(Of(*v, b, events, now()).HTML())
		least = min(least, time.Since(began))
	}
	t.Logf("735 pods: %d bytes in %v", size, least)
	if size > 1<<20 || least > most {
		t.Errorf("735 pods: %d bytes in %v, want at most 1 MiB in %v", size, least, most)
	}
}
