package kubeapi

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/integration/fakekube"
	"github.com/vpcchain/vpcchain/pkg/ipamapi"
)

// rig is a link between a fake API server and a fake vpc-ipamd.
type rig struct {
	t      *testing.T
	api    *fakekube.API
	daemon *fakeDaemon
	token  string // its file
}

func newRig(t *testing.T) *rig {
	return &rig{t: t, api: fakekube.New(t), daemon: &fakeDaemon{}}
}

// start runs the link until the test ends.
func (r *rig) start() {
	r.t.Helper()
	url, token, ca := r.api.Files()
	r.token = token
	client, err := NewClient(Options{Server: url, TokenFile: token, CAFile: ca, Agent: "vpc-kube"})
	if err != nil {
		r.t.Fatal(err)
	}
	link := New(client, r.daemon, "me", slog.New(slog.NewTextHandler(r.t.Output(), nil)))
	ctx, cancel := context.WithCancel(r.t.Context())
	done := make(chan error, 1)
	go func() { done <- link.Run(ctx) }()
	r.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Error(err)
		}
	})
}

// limit bounds each wait; what is waited for takes moments, or client-go's pause of
// a second after a failure.
const limit = 30 * time.Second

func (r *rig) wantReport(want string) {
	r.t.Helper()
	r.poll(func() (string, bool) {
		got := r.daemon.says()
		return "the report is " + got + "\nwant " + want, got == want
	})
}

func (r *rig) poll(f func() (string, bool)) {
	r.t.Helper()
	for end := time.Now().Add(limit); ; time.Sleep(10 * time.Millisecond) {
		what, ok := f()
		if ok {
			return
		}
		if time.Now().After(end) {
			r.t.Fatal(what)
		}
	}
}

func nodeOf(zone, config string, taints ...any) fakekube.Object {
	return fakekube.Object{
		"metadata": fakekube.Object{
			"labels":      fakekube.Object{"zone": zone},
			"annotations": fakekube.Object{"k8s.amazonaws.com/eniConfig": config, "kubectl.kubernetes.io/last-applied-configuration": "long"},
		},
		"spec": fakekube.Object{"taints": taints},
	}
}

func podOf(phase, ip string) fakekube.Object {
	return fakekube.Object{"status": fakekube.Object{"phase": phase, "podIP": ip}}
}

// What there is is reported, and every change of it, through broken connections
// and a server that has forgotten.
func TestFollowing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.api.Put("nodes", "me", nodeOf("a", "green"))
	r.api.Put("eniconfigs", "green", fakekube.Object{"spec": fakekube.Object{"subnet": "subnet-1"}})
	r.api.Put("pods", "ns/new", podOf("Pending", ""))
	r.api.Put("pods", "ns/old", podOf("Running", "10.0.0.1"))
	r.start()
	r.wantReport(`zone a, config green, 0 taints; green={"subnet":"subnet-1"}; ns/new/uid-new`)
	r.api.Put("pods", "ns/new", podOf("Running", "10.0.0.2"))
	r.api.Put("pods", "ns/another", podOf("Pending", ""))
	r.wantReport(`zone a, config green, 0 taints; green={"subnet":"subnet-1"}; ns/another/uid-another`)
	r.api.Remove("pods", "ns/another")
	r.api.Put("nodes", "me", nodeOf("a", "blue", fakekube.Object{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}))
	r.api.Put("eniconfigs", "blue", fakekube.Object{"spec": fakekube.Object{"subnet": "subnet-2"}})
	r.wantReport(`zone a, config blue, 1 taints; blue={"subnet":"subnet-2"} green={"subnet":"subnet-1"};`)

	r.api.BreakWatches()
	r.api.Remove("eniconfigs", "green")
	r.wantReport(`zone a, config blue, 1 taints; blue={"subnet":"subnet-2"};`)
	lists := r.api.Seen().Lists["eniconfigs"]
	r.api.BreakWatches()
	r.api.Remove("eniconfigs", "blue") // nobody hears of it: the history is gone
	r.api.Compact()
	r.wantReport(`zone a, config blue, 1 taints; ;`)
	seen := r.api.Seen()
	if seen.Lists["eniconfigs"] == lists {
		t.Error("a server that has forgotten was not listed again")
	}
	for what, want := range map[string]string{
		"nodes": "metadata.name=me", "nodes watch": "metadata.name=me", "pods": "spec.nodeName=me", "pods watch": "spec.nodeName=me", "eniconfigs": "",
	} {
		if got := seen.Selectors[what]; got != want {
			t.Errorf("%s are selected by %q, want %q", what, got, want)
		}
	}
	if !slices.Equal(seen.Agents, []string{"vpc-kube"}) {
		t.Errorf("user agents %q", seen.Agents)
	}
}

// Without ENIConfigs' kind in the cluster the rest is reported, and the kind is
// found when it comes.
func TestNoCRD(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.api.Put("nodes", "me", nodeOf("a", ""))
	r.api.Define("eniconfigs", false)
	r.start()
	r.wantReport(`zone a, config , 0 taints; configs unknown;`)
	r.api.Define("eniconfigs", true)
	r.wantReport(`zone a, config , 0 taints; ;`)
}

// A slow server keeps nobody waiting: vpc-ipamd is asked for its failures.
func TestSlowServer(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	release := r.api.Hold()
	r.api.Put("nodes", "me", nodeOf("a", ""))
	r.start()
	r.wantReport("node unknown; configs unknown;")
	release()
	r.wantReport(`zone a, config , 0 taints; ;`)
}

// A server that is down takes nothing away, and is found again.
func TestServerDown(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.api.SetDown(true)
	r.api.Put("nodes", "me", nodeOf("a", ""))
	r.start()
	r.wantReport("node unknown; configs unknown;")
	r.api.SetDown(false)
	r.wantReport(`zone a, config , 0 taints; ;`)
	r.api.SetDown(true)
	r.api.Put("nodes", "me", nodeOf("b", ""))
	r.daemon.set(func() { r.daemon.count = 0 })
	r.poll(func() (string, bool) {
		r.daemon.mu.Lock()
		defer r.daemon.mu.Unlock()
		return "no reports while the API server is down", r.daemon.count >= 2
	})
	r.wantReport(`zone a, config , 0 taints; ;`)
	r.api.SetDown(false)
	r.wantReport(`zone b, config , 0 taints; ;`)
}

// The kubelet replaces the token; the old one is refused from then on.
func TestTokenIsReplaced(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.api.Put("nodes", "me", nodeOf("a", ""))
	r.start()
	r.wantReport(`zone a, config , 0 taints; ;`)
	r.api.SetToken("second")
	r.api.BreakWatches()
	if err := os.WriteFile(r.token, []byte("second\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.api.Put("nodes", "me", nodeOf("b", ""))
	r.wantReport(`zone b, config , 0 taints; ;`)
}

// vpc-ipamd may come late, or go for a while.
func TestDaemonDown(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.daemon.fail = errors.New("connection refused")
	r.api.Put("nodes", "me", nodeOf("a", ""))
	r.start()
	time.Sleep(100 * time.Millisecond)
	r.daemon.set(func() { r.daemon.fail = nil })
	r.wantReport(`zone a, config , 0 taints; ;`)
}

func TestCapacity(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.api.Put("nodes", "me", nodeOf("a", ""))
	r.daemon.answer = &ipamapi.KubeReply{Branches: &ipamapi.KubeBranches{Limit: 9}}
	r.start()
	const patch = `PATCH /api/v1/nodes/me/status {"status":{"capacity":{"vpc.amazonaws.com/pod-eni":"9"}}}`
	r.poll(func() (string, bool) {
		got := r.api.Written()
		return "written: " + strings.Join(got, "\n"), slices.Equal(got, []string{patch})
	})
	// The watch brings it back, and it is not set again; then somebody takes it away.
	r.daemon.set(func() { r.daemon.count = 0 })
	r.poll(func() (string, bool) {
		r.daemon.mu.Lock()
		defer r.daemon.mu.Unlock()
		return "too few reports", r.daemon.count >= 2
	})
	if got := r.api.Written(); len(got) != 1 {
		t.Errorf("written: %q", got)
	}
	r.api.Put("nodes", "me", nodeOf("a", ""))
	r.poll(func() (string, bool) {
		got := r.api.Written()
		return "written: " + strings.Join(got, "\n"), slices.Equal(got, []string{patch, patch})
	})
}

// Failures are written on their pods, and told to be heard.
func TestFailuresBecomeEvents(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.daemon.answer = &ipamapi.KubeReply{
		Heard: &ipamapi.KubeHeard{Life: "x", Serial: 3},
		Failures: []*ipamapi.KubeFailure{
			{Pod: &ipamapi.Pod{Namespace: "ns", Name: "a", Uid: "u"}, Text: "no free address: subnet-1 is full", At: time.Now().Unix()},
		},
	}
	r.start()
	r.poll(func() (string, bool) {
		got := r.api.Written()
		all := strings.Join(got, "\n")
		return "written: " + all, len(got) == 1 && strings.HasPrefix(all, "POST /api/v1/namespaces/ns/events ") &&
			strings.Contains(all, `"involvedObject":{"apiVersion":"v1","kind":"Pod","name":"a","namespace":"ns","uid":"u"}`) &&
			strings.Contains(all, `"message":"no free address: subnet-1 is full"`) && strings.Contains(all, `"reason":"NoPodAddress"`) &&
			strings.Contains(all, `"type":"Warning"`) && strings.Contains(all, `"source":{"component":"vpc-kube","host":"me"}`)
	})
	r.poll(func() (string, bool) {
		r.daemon.mu.Lock()
		defer r.daemon.mu.Unlock()
		return "the failures were not heard", r.daemon.last.GetHeard().GetSerial() == 3 && r.daemon.last.GetHeard().GetLife() == "x"
	})
	if got := r.api.Written(); len(got) != 1 {
		t.Errorf("a failure that is told again within a minute is written again: %q", got)
	}
}

func TestInCluster(t *testing.T) {
	env := map[string]string{"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}
	get := func(name string) string { return env[name] }
	if o, err := InCluster("", get); err != nil || o.Server != "https://[fd00::1]:443" || o.TokenFile != Mounted+"/token" {
		t.Errorf("%+v, %v", o, err)
	}
	if o, err := InCluster("https://api", get); err != nil || o.Server != "https://api" {
		t.Errorf("%+v, %v", o, err)
	}
	delete(env, "KUBERNETES_SERVICE_PORT")
	if _, err := InCluster("", get); err == nil || !strings.Contains(err.Error(), "-server") {
		t.Errorf("%v", err)
	}
	if _, err := NewClient(Options{Server: "https://api", TokenFile: "/nowhere/token"}); err == nil || !strings.Contains(err.Error(), "/nowhere/token") {
		t.Errorf("%v", err)
	}
}
