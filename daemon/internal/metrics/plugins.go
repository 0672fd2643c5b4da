package metrics

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/vpcchain/vpcchain/pkg/flight"
)

// flights are the plugins' records, which a scrape reads to their end.
type flights struct {
	mu       sync.Mutex
	follower *flight.Follower // nil: nobody follows them
	log      *slog.Logger
	said     bool // that it cannot be read
}

// readEvery is how often the records are read without a scrape: the recorder
// keeps 4 MB, and 50 ADDs a second write some 120 KB.
const readEvery = 10 * time.Second

// FollowPlugins measures the plugins by what the flight recorder in the directory
// says, from now until ctx ends. What was written before has been counted by the
// daemon before, or is lost: a counter that begins at zero must not show it again.
func (m *Metrics) FollowPlugins(ctx context.Context, dir string, log *slog.Logger) error {
	m.flights.mu.Lock()
	m.flights.follower, m.flights.log = flight.Follow(dir, true), log
	m.flights.mu.Unlock()
	tick := time.NewTicker(readEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			m.flights.mu.Lock()
			defer m.flights.mu.Unlock()
			f := m.flights.follower
			m.flights.follower = nil
			return f.Close()
		case <-tick.C:
			m.readFlights()
		}
	}
}

// readFlights takes all that was written since the last time.
func (m *Metrics) readFlights() {
	m.flights.mu.Lock()
	defer m.flights.mu.Unlock()
	if m.flights.follower == nil {
		return
	}
	// Two full files are some 64 reads; who writes faster is read on at the next tick.
	for range 128 {
		records, err := m.flights.follower.Next()
		if err != nil && !m.flights.said {
			m.flights.said = true
			m.flights.log.Warn("reading the flight recorder: the plugins are not measured", "error", err)
		}
		if err != nil || len(records) == 0 {
			return
		}
		for _, r := range records {
			m.plugin(r)
		}
	}
}

// plugin measures a record; anybody with root may have written it.
func (m *Metrics) plugin(r flight.Record) {
	if r.Kind != flight.Plugin || r.Begin {
		return
	}
	result := "ok"
	if r.Failed() {
		result = "error"
	}
	name := oneOf(r.Name, "vpc-ipam", "vpc-veth", "vpc-snat", "vpc-sgpp")
	verb := oneOf(r.Verb, "ADD", "DEL", "CHECK", "GC", "STATUS")
	m.plugins.WithLabelValues(name, verb, result).Observe(r.Duration.Seconds())
}

// oneOf is the word, or "other".
func oneOf(word string, known ...string) string {
	for _, k := range known {
		if word == k {
			return k
		}
	}
	return "other"
}
