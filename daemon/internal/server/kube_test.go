package server

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/daemon/internal/kube"
	"github.com/vpcchain/vpcchain/daemon/internal/pool"
	"github.com/vpcchain/vpcchain/pkg/ipamapi"
)

// The translation loses nothing of a report, and tells what is not known from
// what is empty.
func TestReport(t *testing.T) {
	full := reportOf(&ipamapi.KubeReport{
		Node: &ipamapi.KubeNode{
			Labels: map[string]string{"l": "1"}, Annotations: map[string]string{"a": "2"},
			Taints: []*ipamapi.KubeTaint{{Key: "k", Value: "v", Effect: "NoSchedule"}},
		},
		EniConfigs: &ipamapi.KubeENIConfigs{List: []*ipamapi.KubeENIConfig{{Name: "green", Spec: []byte(`{}`)}}},
		Pending:    []*ipamapi.Pod{{Namespace: "ns", Name: "n", Uid: "u"}},
	})
	want := kube.Report{
		Node: &kube.Node{
			Labels: map[string]string{"l": "1"}, Annotations: map[string]string{"a": "2"}, Taints: []kube.Taint{{Key: "k", Value: "v", Effect: "NoSchedule"}},
		},
		ENIConfigs: map[string]string{"green": "{}"}, Pending: []pool.Pod{{Namespace: "ns", Name: "n", UID: "u"}},
	}
	if d := cmp.Diff(want, full); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if r := reportOf(&ipamapi.KubeReport{}); r.Node != nil || r.ENIConfigs != nil {
		t.Errorf("nothing known is %+v", r)
	}
	if r := reportOf(&ipamapi.KubeReport{EniConfigs: &ipamapi.KubeENIConfigs{}}); r.ENIConfigs == nil {
		t.Error("no ENIConfigs are taken for ones that are not known")
	}
}

// What an ADD failed with is told until it was heard.
func TestFailuresAreHeard(t *testing.T) {
	r := newRig(t, eni.Limits{ENIs: 1, IPv4PerENI: 2}, 1)
	k := kube.Open(filepath.Join(t.TempDir(), "kube.json"), slog.New(slog.DiscardHandler))
	s := &kubeService{e: r.engine, reports: k}
	k.Failed(pool.Pod{Namespace: "ns", Name: "late", UID: "u"}, context.DeadlineExceeded)
	report := func(req *ipamapi.KubeReport, want ...*ipamapi.KubeFailure) *ipamapi.KubeReply {
		t.Helper()
		reply, err := s.Report(t.Context(), req)
		must(t, err)
		for _, f := range reply.GetFailures() {
			if ago := time.Since(time.Unix(f.GetAt(), 0)); ago < 0 || ago > time.Minute {
				t.Errorf("the failure is of %v ago", ago)
			}
			f.At = 0
		}
		if d := cmp.Diff(want, reply.GetFailures(), protocmp.Transform()); d != "" {
			t.Errorf("failures (-want +got):\n%s", d)
		}
		return reply
	}
	late := &ipamapi.KubeFailure{Pod: &ipamapi.Pod{Namespace: "ns", Name: "late", Uid: "u"}, Text: "context deadline exceeded"}
	bad := &ipamapi.KubeENIConfigs{List: []*ipamapi.KubeENIConfig{{Name: "bad", Spec: []byte(`{"subnet":"x"}`)}}}
	first := report(&ipamapi.KubeReport{EniConfigs: bad}, late)
	if first.GetBranches() != nil || !strings.Contains(first.GetTrouble(), "spec.subnet of bad") {
		t.Errorf("reply %v", first)
	}
	report(&ipamapi.KubeReport{}, late)
	report(&ipamapi.KubeReport{Heard: first.GetHeard()})
}
