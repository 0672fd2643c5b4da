package main

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/vpcchain/vpcchain/pkg/ipamapi"
)

// An ENI that is drained, watched to its end, cancelled, refused.
func TestDrain(t *testing.T) {
	drain := &ipamapi.PoolDrain{Since: 1_795_000_000, Pods: 2, Waits: "2 pods to go"}
	with := func(d *ipamapi.PoolDrain, leaving ...string) *ipamapi.PoolReply {
		out := &ipamapi.PoolReply{Leaving: leaving, Enis: []*ipamapi.PoolENI{{Eni: &ipamapi.ENI{Id: "eni-0"}}}}
		if len(leaving) == 0 {
			out.Enis = append(out.Enis, &ipamapi.PoolENI{Eni: &ipamapi.ENI{Id: "eni-1"}, Drain: d})
		}
		return out
	}
	var asked []*ipamapi.DrainRequest
	var pools stepping
	d := &fakeDaemon{pools: pools.next, drain: func(r *ipamapi.DrainRequest) (*ipamapi.DrainReply, error) {
		asked = append(asked, r)
		return &ipamapi.DrainReply{Draining: !r.GetCancel(), Drain: drain}, nil
	}}
	ctl := d.start(t)
	var all strings.Builder
	for _, step := range []struct {
		line  string
		pools []*ipamapi.PoolReply // one after the other; the last one stays
		code  int
	}{
		{line: "drain-eni eni-1"},
		{line: "drain-eni eni-1 --json"},
		{line: "drain-eni eni-1 --cancel"},
		{line: "drain-eni eni-1 --wait", pools: []*ipamapi.PoolReply{with(drain), with(nil, "eni-1"), {}}},
		{line: "drain-eni eni-1 --wait --json", pools: []*ipamapi.PoolReply{{}}},
		{line: "drain-eni eni-1 --wait --timeout 1ms", pools: []*ipamapi.PoolReply{with(drain)}, code: exitLimited},
		{line: "drain-eni eni-1 --wait --timeout 1ms", pools: []*ipamapi.PoolReply{with(nil, "eni-1")}, code: exitLimited},
		{line: "drain-eni eni-1 --wait", pools: []*ipamapi.PoolReply{with(nil)}, code: exitLimited}, // somebody cancels
	} {
		pools.left.Store(&step.pools)
		out, code, err := ctl(step.line)
		if code != step.code || err != nil {
			t.Errorf("%s: %d, %v", step.line, code, err)
		}
		all.WriteString("$ vpcctl " + step.line + "\n" + out)
	}
	golden(t, "drain-eni.txt", all.String())
	if asked[0].GetCancel() || !asked[2].GetCancel() || asked[0].GetEni() != "eni-1" {
		t.Errorf("the daemon is asked %v", asked)
	}
	d.drain = func(*ipamapi.DrainRequest) (*ipamapi.DrainReply, error) {
		return nil, status.Error(codes.FailedPrecondition, "it is the primary ENI")
	}
	for line, want := range map[string]struct {
		code int
		text string
	}{
		"drain-eni eni-0":                    {exitError, "it is the primary ENI"},
		"drain-eni":                          {exitUsage, "lacks its ENI"},
		"drain-eni eni-0 --wait --cancel":    {exitUsage, "exclude each other"},
		"drain-eni eni-0 --timeout tomorrow": {exitUsage, "a duration"},
	} {
		if out, code, err := ctl(line); code != want.code || err == nil || !strings.Contains(err.Error(), want.text) || out != "" {
			t.Errorf("%s: %q, %d, %v", line, out, code, err)
		}
	}
}

// stepping are replies, one after the other.
type stepping struct {
	left atomic.Pointer[[]*ipamapi.PoolReply]
}

func (s *stepping) next() (*ipamapi.PoolReply, error) {
	left := *s.left.Load()
	if len(left) == 0 {
		return nil, errors.New("asked for the pool without --wait")
	}
	if len(left) > 1 {
		rest := left[1:]
		s.left.Store(&rest)
	}
	return left[0], nil
}
