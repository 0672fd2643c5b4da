package cloud

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/integration/vpcsim/ec2"
)

func TestBuckets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBuckets()
		const api = "CreateNetworkInterface"
		begin := time.Now()
		for i := range 20 {
			check(t, b.Wait(t.Context(), api))
			want := max(0, time.Duration(i-15)*time.Second)
			if took := time.Since(begin); took != want {
				t.Errorf("call %d after %s, want %s", i, took, want)
			}
		}
		check(t, b.Wait(t.Context(), "AttachNetworkInterface"))
		if took := time.Since(begin); took != 4*time.Second {
			t.Error("an API waits for another one's bucket")
		}
		time.Sleep(time.Hour)
		begin = time.Now()
		var calls sync.WaitGroup
		for range 17 {
			calls.Go(func() { check(t, b.Wait(t.Context(), api)) })
		}
		calls.Wait()
		if took := time.Since(begin); took != time.Second {
			t.Errorf("after an hour 17 calls took %s: more than the bucket holds, or less", took)
		}
	})
}

// A call that gives up does not take the turn of the next one.
func TestBucketOfACancelledCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBuckets()
		const api = "CreateNetworkInterface"
		for range 16 {
			check(t, b.Wait(t.Context(), api))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		for range 100 {
			if err := b.Wait(ctx, api); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("Wait = %v", err)
			}
		}
		begin := time.Now()
		check(t, b.Wait(t.Context(), api))
		if took := time.Since(begin); took > time.Second {
			t.Errorf("waited %s", took)
		}
	})
}

// The gate sees the attempts, retries included.
func TestBucketsAsGate(t *testing.T) {
	b := NewBuckets()
	seen := map[string]int{}
	gate := func(ctx context.Context, api string) error {
		seen[api]++
		return b.Wait(ctx, api)
	}
	onNodeA(t, Options{Gate: gate}, func(n node) {
		t, c, sim := n.t, n.c, n.sim
		sim.Fault(ec2.Fault{Action: "CreateNetworkInterface", Code: "RequestLimitExceeded", Count: 2})
		_, err := c.Create(t.Context(), eni.CreateSpec{SubnetID: "subnet-a"})
		check(t, err)
		if seen["CreateNetworkInterface"] != 3 || b.of["CreateNetworkInterface"] == nil {
			t.Errorf("attempts seen: %v", seen)
		}
	})
}
