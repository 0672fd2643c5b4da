package cloud

import (
	"errors"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/integration/vpcsim/ec2"
	"github.com/vpcchain/vpcchain/integration/vpcsim/topology"
)

// Only what has all of the tags and is attached to nothing is available.
func TestAvailable(t *testing.T) {
	onNodeA(t, Options{}, func(n node) {
		t, c := n.t, n.c
		ctx := t.Context()
		var ids []string
		for _, tags := range []map[string]string{{"a": "1", "b": "1"}, {"a": "1", "b": "2"}, {"a": "1", "b": "1"}, nil} {
			e, err := c.Create(ctx, eni.CreateSpec{SubnetID: "subnet-a", Tags: tags})
			check(t, err)
			ids = append(ids, e.ID)
		}
		_, err := c.Attach(ctx, ids[2], 0, 1)
		check(t, err)
		got, err := c.Available(ctx, map[string]string{"a": "1", "b": "1"})
		if err != nil || len(got) != 1 || got[0].ID != ids[0] || got[0].Tags["b"] != "1" {
			t.Errorf("Available = %+v, %v; want %s", got, err, ids[0])
		}
	})
}

// An ENI that is being detached is not attached any more, nor available yet.
func TestDetaching(t *testing.T) {
	onNodeA(t, Options{}, func(n node) {
		t, c := n.t, n.c
		slow := n.sim.Conditions()
		slow.DetachDelay = topology.Duration(10 * time.Second)
		check(t, n.sim.SetConditions(slow))
		ctx := t.Context()
		tags := map[string]string{"a": "1"}
		e, err := c.Create(ctx, eni.CreateSpec{SubnetID: "subnet-a", Tags: tags})
		check(t, err)
		attachment, err := c.Attach(ctx, e.ID, 0, 1)
		check(t, err)
		attached, err := c.Describe(ctx)
		check(t, err)
		check(t, c.Detach(ctx, attachment))
		rest, err := c.Describe(ctx)
		check(t, err)
		spare, err := c.Available(ctx, tags)
		check(t, err)
		if len(attached) != 2 || len(rest) != 1 || len(spare) != 0 {
			t.Errorf("%d ENIs are attached, %d during the detach, %d available", len(attached), len(rest), len(spare))
		}
	})
}

// A refusal says that nothing was done; no answer, or EC2's own failure, does not.
func TestNoAnswer(t *testing.T) {
	onNodeA(t, Options{}, func(n node) {
		t, c, sim := n.t, n.c, n.sim
		for _, tc := range []struct {
			fault ec2.Fault
			want  bool
		}{
			{ec2.Fault{Lost: true}, true},
			{ec2.Fault{Code: "InternalError"}, true},
			{ec2.Fault{Code: "InsufficientFreeAddressesInSubnet"}, false},
			{ec2.Fault{Code: "RequestLimitExceeded"}, false},
		} {
			tc.fault.Action, tc.fault.Count = "CreateNetworkInterface", maxAttempts
			sim.Fault(tc.fault)
			if _, err := c.Create(t.Context(), eni.CreateSpec{SubnetID: "subnet-a"}); err == nil || errors.Is(err, eni.ErrNoAnswer) != tc.want {
				t.Errorf("%+v: %v; unanswered %t", tc.fault, err, tc.want)
			}
		}
	})
}
