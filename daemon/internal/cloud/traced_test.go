package cloud

import (
	"context"
	"testing"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/integration/vpcsim/ec2"
)

// A trace hears of a call once, whatever its repetitions were, in the context of its caller.
func TestTrace(t *testing.T) {
	type heard struct {
		api string
		of  any
		Outcome
	}
	type caller struct{}
	var all []heard
	under := 0
	hear := func(ctx context.Context, api string) func(Outcome) {
		under++
		return func(o Outcome) {
			under--
			all = append(all, heard{api, ctx.Value(caller{}), o})
		}
	}
	onNodeA(t, Options{Trace: hear}, func(n node) {
		ctx := context.WithValue(n.t.Context(), caller{}, "test")
		e, err := n.c.Create(ctx, eni.CreateSpec{SubnetID: "subnet-a"})
		check(n.t, err)
		all = nil
		n.sim.Fault(ec2.Fault{Action: "AssignPrivateIpAddresses", Code: "RequestLimitExceeded", Count: 2})
		_, err = n.c.Assign(ctx, e.ID, 1)
		check(n.t, err)
		_, _ = n.c.Assign(ctx, e.ID, 100)
		n.sim.Fault(ec2.Fault{Action: "AssignPrivateIpAddresses", Lost: true})
		_, _ = n.c.Assign(ctx, e.ID, 1)
		want := []struct {
			code     string
			attempts int
			answered bool
		}{{"", 3, true}, {"PrivateIpAddressLimitExceeded", 1, true}, {"NoAnswer", 1, false}}
		if len(all) != len(want) || under != 0 {
			n.t.Fatalf("%d calls, of which %d did not end: %+v", len(all), under, all)
		}
		ids := map[string]bool{}
		for i, w := range want {
			h := all[i]
			if h.api != "AssignPrivateIpAddresses" || h.of != "test" || h.Code != w.code || h.Attempts != w.attempts || (h.RequestID != "") != w.answered || (h.Err == nil) != (w.code == "") {
				n.t.Errorf("call %d: %+v, want %+v", i, h, w)
			}
			ids[h.RequestID] = true
		}
		if len(ids) != len(want) {
			n.t.Errorf("request ids %v", ids)
		}
	})
}
