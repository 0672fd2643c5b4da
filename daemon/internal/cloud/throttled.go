package cloud

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// sayEvery is how often it is said that EC2 throttles an API: the repetitions are
// many, and the node goes on by itself.
const sayEvery = 10 * time.Second

// throttled tells the log of throttled requests. The error of a call that was
// repeated until it succeeded is never seen otherwise, and pods have waited for it.
type throttled struct {
	Observer
	log *slog.Logger

	mu   sync.Mutex
	said map[string]time.Time // by API
}

// SayThrottled passes on what o hears, and logs which API is throttled, each one
// every 10 s at most.
func SayThrottled(log *slog.Logger, o Observer) Observer {
	return &throttled{Observer: o, log: log, said: map[string]time.Time{}}
}

func (t *throttled) Attempt(api, code string, took time.Duration, refused bool) {
	t.Observer.Attempt(api, code, took, refused)
	if refused && t.due(api, time.Now()) {
		t.log.Log(context.Background(), slog.LevelWarn, "EC2 throttles a call: it is repeated by itself, and takes longer", "api", api, "code", code)
	}
}

func (t *throttled) due(api string, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if last, ok := t.said[api]; ok && now.Sub(last) < sayEvery {
		return false
	}
	t.said[api] = now
	return true
}
