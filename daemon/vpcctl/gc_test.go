package main

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/vpcchain/vpcchain/pkg/ipamapi"
)

func TestGC(t *testing.T) {
	var dry []bool
	d := &fakeDaemon{sweep: func(r *ipamapi.SweepRequest) (*ipamapi.SweepReply, error) {
		dry = append(dry, r.GetDryRun())
		return &ipamapi.SweepReply{
			Released: []*ipamapi.SweepItem{{
				Address: "10.0.0.4", Attachment: &ipamapi.Attachment{Network: "vpc", ContainerId: "c1", Ifname: "eth0"},
				Pod: &ipamapi.Pod{Namespace: "ns", Name: "web"}, Why: "it has neither interface nor network namespace",
			}},
			Kept:  []*ipamapi.SweepItem{{Address: "10.0.0.15", Attachment: &ipamapi.Attachment{Network: "vpc", ContainerId: "c2", Ifname: "eth0"}, Why: "its network namespace is there"}},
			Alive: 3, Runtime: true,
		}, nil
	}}
	ctl := d.start(t)
	var all strings.Builder
	for _, line := range []string{"gc", "gc --dry-run", "gc --json"} {
		out, code, err := ctl(line)
		if code != 0 || err != nil {
			t.Errorf("%s: %d, %v", line, code, err)
		}
		all.WriteString("$ vpcctl " + line + "\n" + out)
	}
	golden(t, "gc.txt", all.String())
	if len(dry) != 3 || dry[0] || !dry[1] || dry[2] {
		t.Errorf("--dry-run is told as %v", dry)
	}
	d.sweep = func(*ipamapi.SweepRequest) (*ipamapi.SweepReply, error) {
		return nil, status.Error(codes.FailedPrecondition, "without a kernel")
	}
	if out, code, err := ctl("gc"); code != exitError || out != "" || err == nil || !strings.Contains(err.Error(), "nothing is released: asking vpc-ipamd: without a kernel") {
		t.Errorf("refused: %q, %d, %v", out, code, err)
	}
	if code, err := run(t.Context(), []string{"gc", "--socket", t.TempDir() + "/s"}, func(string) string { return "" }, &all); code != exitError || err == nil || !strings.Contains(err.Error(), "nothing is released: vpc-ipamd does not answer") {
		t.Errorf("without a daemon: %d, %v", code, err)
	}
}
