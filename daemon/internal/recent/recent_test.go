package recent

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// texts are the kept records in short, the newest first.
func texts(k *Keeper) []string {
	var out []string
	for _, r := range k.Records() {
		out = append(out, strings.TrimSpace(r.Level.String()+" "+r.Text+" "+r.Attrs))
	}
	return out
}

// What is kept is what is logged, and of pods more: the log has its own level.
func TestKeepsAndPassesOn(t *testing.T) {
	k, out := New(), &bytes.Buffer{}
	log := slog.New(k.Keep(slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelInfo})))
	log.Debug("noise")
	log.Log(t.Context(), Pod, "address given", "pod", "default/web", "took", 1234567*time.Nanosecond)
	log.With("eni", "eni-1").WithGroup("ec2").Warn("throttled", "error", errors.New("RequestLimitExceeded"), slog.Group("call", "n", 3))
	log.Info("ready")
	want := []string{
		"INFO ready",
		"WARN throttled eni=eni-1 ec2.error=RequestLimitExceeded ec2.call.n=3",
		"DEBUG+2 address given pod=default/web took=1ms",
	}
	if diff := cmp.Diff(want, texts(k)); diff != "" {
		t.Error(diff)
	}
	if lines := strings.Count(out.String(), "\n"); lines != 2 || !strings.Contains(out.String(), "ec2.call.n=3") {
		t.Errorf("the log has\n%s", out)
	}
}

// At DEBUG the log has all, and what is kept is the same.
func TestDebugIsPassedOn(t *testing.T) {
	k, out := New(), &bytes.Buffer{}
	log := slog.New(k.Keep(slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelDebug})))
	log.Debug("noise")
	log.Log(t.Context(), Pod, "address given")
	if n := len(k.Records()); n != 1 || strings.Count(out.String(), "\n") != 2 {
		t.Errorf("%d records kept; the log has\n%s", n, out)
	}
}

// Memory is bounded, and pods do not push out what is rarer.
func TestBounds(t *testing.T) {
	k := New()
	log := slog.New(k.Keep(slog.DiscardHandler))
	log.Error("EC2 refuses", "error", strings.Repeat("é", 2*textBytes))
	for i := range 10 * keepPods {
		log.Log(t.Context(), Pod, fmt.Sprint("pod ", i))
	}
	all := k.Records()
	if len(all) != keepPods+1 || all[0].Text != fmt.Sprint("pod ", 10*keepPods-1) || all[keepPods-1].Text != fmt.Sprint("pod ", 9*keepPods) {
		t.Errorf("%d records from %q to %q", len(all), all[0].Text, all[len(all)-2].Text)
	}
	last := all[keepPods]
	if last.Text != "EC2 refuses" || len(last.Attrs) > textBytes+len("…") || !utf8.ValidString(last.Attrs) {
		t.Errorf("%q with %d bytes", last.Text, len(last.Attrs))
	}
	for i := range 3 * keepOthers {
		log.Info(fmt.Sprint("other ", i))
	}
	if n := len(k.Records()); n != keepPods+keepOthers {
		t.Errorf("%d records", n)
	}
}

func TestConcurrently(t *testing.T) {
	k := New()
	log := slog.New(k.Keep(slog.DiscardHandler))
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for i := range 200 {
				log.Info("x", "i", i)
				_ = k.Records()
			}
		})
	}
	all.Wait()
	if n := len(k.Records()); n != keepOthers {
		t.Errorf("%d records", n)
	}
}
