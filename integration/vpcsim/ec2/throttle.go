package ec2

import (
	"strings"
	"sync"
	"time"

	"github.com/vpcchain/vpcchain/integration/vpcsim/topology"
)

// Sizes and refill rates of EC2's request token buckets (EC2 Developer Guide,
// "Request throttling"): one bucket per API, by category.
const (
	readBurst, readRate   = 100, 20 // non-mutating
	listBurst, listRate   = 50, 10  // non-mutating, neither filtered nor paginated
	writeBurst, writeRate = 50, 5   // mutating
)

// throttle is the token buckets of the account.
type throttle struct {
	mu      sync.Mutex
	how     *topology.Throttling
	buckets map[string]*bucket // "" is the account's
}

type bucket struct {
	tokens float64
	at     time.Time
}

// set changes the limits; every bucket is full then.
func (t *throttle) set(how *topology.Throttling) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.how, t.buckets = how, map[string]*bucket{}
}

// take spends a token of the API and one of the account; false: EC2 refuses. A
// refused call costs nothing.
func (t *throttle) take(action string, q query, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.how == nil {
		return true
	}
	key, size := t.sizeOf(action, q)
	api := t.fill(key, size, now)
	if t.how.Account == nil {
		return api.spend()
	}
	account := t.fill("", *t.how.Account, now)
	if account.tokens < 1 {
		return false
	}
	return api.spend() && account.spend()
}

func (t *throttle) sizeOf(action string, q query) (key string, size topology.Bucket) {
	if b, ok := t.how.Actions[action]; ok {
		return action, b
	}
	if b, ok := t.how.Actions["*"]; ok {
		return action, b
	}
	if !strings.HasPrefix(action, "Describe") {
		return action, topology.Bucket{Burst: writeBurst, PerSecond: writeRate}
	}
	for name := range q {
		if name != "Action" && name != "Version" {
			return action, topology.Bucket{Burst: readBurst, PerSecond: readRate}
		}
	}
	return action + " of all", topology.Bucket{Burst: listBurst, PerSecond: listRate}
}

func (t *throttle) fill(key string, size topology.Bucket, now time.Time) *bucket {
	b := t.buckets[key]
	if b == nil {
		b = &bucket{tokens: float64(size.Burst), at: now}
		t.buckets[key] = b
	}
	b.tokens = min(b.tokens+now.Sub(b.at).Seconds()*size.PerSecond, float64(size.Burst))
	b.at = now
	return b
}

func (b *bucket) spend() bool {
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}
