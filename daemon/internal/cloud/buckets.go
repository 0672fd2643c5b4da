package cloud

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Buckets space the calls of each API of EC2, so that no fault of this daemon
// or of EC2 makes a node a burden on the account, whose limits all nodes share.
// What a healthy node does never waits: growing from nothing to the most ENIs
// that an instance type has on a card is within the bursts. Its Wait is a Gate,
// which sees every attempt; retries and their pauses are the SDK's.
type Buckets struct {
	mu sync.Mutex
	of map[string]*bucket
}

// rate of one API: so many calls at once, then one per interval.
type rate struct {
	burst    int
	interval time.Duration
}

// rateOf an API. EC2 itself gives an account in a region about 100 reads at once
// and 20 a second, and for what changes ENIs half of it and less.
func rateOf(api string) rate {
	switch api {
	case "DescribeNetworkInterfaces", "DescribeSubnets", "DescribeInstanceTypes", "DescribeTrunkInterfaceAssociations":
		return rate{10, 2 * time.Second}
	case "CreateNetworkInterface", "AttachNetworkInterface", "ModifyNetworkInterfaceAttribute", "DetachNetworkInterface":
		return rate{16, time.Second}
	}
	return rate{30, 500 * time.Millisecond} // the addresses of 15 ENIs twice; deletes that ask whether a detach is over
}

// bucket has tokens as of a time.
type bucket struct {
	rate

	full time.Time // when it is, or was, full again
}

// NewBuckets are full ones.
func NewBuckets() *Buckets { return &Buckets{of: map[string]*bucket{}} }

// Wait takes a token of the API, when there is one, or fails with ctx. Who comes
// first is served first.
func (b *Buckets) Wait(ctx context.Context, api string) error {
	turn := b.take(api, time.Now())
	timer := time.NewTimer(time.Until(turn))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		b.giveBack(api)
		return fmt.Errorf("%s is called too often: %w", api, ctx.Err())
	}
}

// take books a token and says when it is there.
func (b *Buckets) take(api string, now time.Time) time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.of[api]
	if c == nil {
		c = &bucket{rate: rateOf(api)}
		b.of[api] = c
	}
	if c.full.Before(now) {
		c.full = now
	}
	c.full = c.full.Add(c.interval)
	return c.full.Add(-time.Duration(c.burst) * c.interval)
}

func (b *Buckets) giveBack(api string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.of[api]
	c.full = c.full.Add(-c.interval)
}
