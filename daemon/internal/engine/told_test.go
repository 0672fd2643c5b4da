package engine

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/config"
	"github.com/vpcchain/vpcchain/daemon/internal/recent"
)

// What becomes of pods is among the last events; the log has of it what went wrong.
func TestPodsAreEvents(t *testing.T) {
	inBubble(t, config.Config{WarmENI: 0, WarmIP: 1, Cooldown: 30 * time.Second, MaxENI: 1}, func(t *testing.T, r *rig) {
		events, logged := recent.New(), recent.New()
		r.deps.Log = slog.New(events.Keep(slog.NewTextHandler(logLines{logged}, nil)))
		r.start()
		addr := r.mustAssign("web")
		r.mustRelease("web")
		if _, err := r.assign("late", 0); err == nil {
			t.Fatal("an ADD without time got an address")
		}
		var got []string
		for _, e := range events.Records() {
			if strings.HasPrefix(e.Text, "ADD") || strings.HasPrefix(e.Text, "DEL") {
				got = append(got, e.Level.String()+" "+e.Text+" "+e.Attrs)
			}
		}
		if len(got) != 3 || !strings.HasPrefix(got[0], "WARN ADD: no address pod=ns/late took=0s error=") ||
			got[1] != "DEBUG+2 DEL: address released pod=ns/web address="+addr+" eni=eni-0" ||
			got[2] != "DEBUG+2 ADD: address given pod=ns/web address="+addr+" eni=eni-0 took=0s" {
			t.Errorf("the events are\n%s", strings.Join(got, "\n"))
		}
		for _, l := range logged.Records() {
			if strings.Contains(l.Text, "ns/web") {
				t.Errorf("the log has %s", l.Text)
			}
		}
	})
}

// logLines keeps the lines of a log.
type logLines struct{ k *recent.Keeper }

func (l logLines) Write(p []byte) (int, error) {
	slog.New(l.k.Keep(slog.DiscardHandler)).Info(string(p))
	return len(p), nil
}
