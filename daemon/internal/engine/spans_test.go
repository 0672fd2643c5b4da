package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/config"
	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/daemon/internal/pool"
)

// heard is a Spans that writes down what it hears, a line when it ends.
type heard struct {
	mu    sync.Mutex
	lines []string
	open  int
}

type spanKey struct{}

func (h *heard) begin(line string) func(error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.open++
	begin := time.Now()
	return func(err error) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.open--
		if err != nil {
			line += " failed"
		}
		h.lines = append(h.lines, fmt.Sprintf("%s %s", line, time.Since(begin).Round(100*time.Millisecond)))
	}
}

func (h *heard) Work(ctx context.Context, kind, text string) (context.Context, func(error)) {
	return context.WithValue(ctx, spanKey{}, kind), h.begin(kind + ": " + text)
}

func (h *heard) Wait(ctx context.Context, what, text string) func(error) {
	return h.begin(fmt.Sprintf("%v waits for %s: %s", ctx.Value(spanKey{}), what, text))
}

func (h *heard) take(t *testing.T) []string {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.open != 0 {
		t.Errorf("%d spans have not ended", h.open)
	}
	out := h.lines
	h.lines = nil
	slices.Sort(out)
	return out
}

// An ADD that waits is heard with how long it did, beside the action that it
// waited for; one that is served at once is not.
func TestSpans(t *testing.T) {
	inBubble(t, config.Config{WarmIP: 1}, func(t *testing.T, r *rig) {
		h := &heard{}
		r.deps.Spans = h
		r.ec2.limits = eni.Limits{ENIs: 1, IPv4PerENI: 4}
		r.ec2.latency = 2 * time.Second
		r.start()
		pass(10 * time.Second)
		h.take(t)
		ask := func(id string, wait time.Duration) error {
			ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), spanKey{}, id), wait)
			defer cancel()
			_, err := r.Assign(ctx, att(id), pool.Pod{})
			return err
		}
		if err := ask("a", time.Minute); err != nil {
			t.Fatal(err)
		}
		if err := ask("b", time.Minute); err != nil {
			t.Fatal(err)
		}
		pass(10 * time.Second)
		got := strings.Join(h.take(t), "\n")
		for _, want := range []string{"assign: assign ", "b waits for address: no address is free 2s"} {
			if !strings.Contains(got, want) {
				t.Errorf("heard\n%s\nwithout %q", got, want)
			}
		}
		if strings.Contains(got, "a waits") {
			t.Errorf("heard\n%s", got)
		}
		if err := ask("c", time.Minute); err != nil {
			t.Fatal(err)
		}
		pass(10 * time.Second)
		h.take(t)
		if err := ask("d", 5*time.Second); !errors.Is(err, ErrNoAddress) { // the ENI is full
			t.Fatal(err)
		}
		if got := h.take(t); !slices.Contains(got, "d waits for address: no address is free failed 5s") {
			t.Errorf("heard %q", got)
		}
	})
}
