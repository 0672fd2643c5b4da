package cloud

import (
	"errors"
	"testing"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/integration/vpcsim/ec2"
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
