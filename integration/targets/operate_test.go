package targets

import (
	"encoding/json"
	"errors"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/integration/vpcsim/network"
	"github.com/vpcchain/vpcchain/pkg/ipamclient"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// ctl is a subcommand of vpcctl, with its answer decoded into v.
func (n *node) ctl(v any, args ...string) (code int, stderr string) {
	n.t.Helper()
	cmd := exec.Command(filepath.Join(n.bin, "vpcctl"), append(args, "--json", "--socket", n.socket)...)
	cmd.Env = n.env
	out, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code, stderr = exit.ExitCode(), string(exit.Stderr)
	} else if err != nil {
		n.t.Fatal(err)
	}
	if v != nil && len(out) > 0 {
		if err := json.Unmarshal(out, v); err != nil {
			n.t.Fatalf("vpcctl %v: %v\n%s", args, err, out)
		}
	}
	return code, stderr
}

// status is what is compared of `vpcctl status --json`.
type status struct {
	State string `json:"state"`
	Node  struct {
		Type    string         `json:"type"`
		Targets map[string]int `json:"targets"`
	} `json:"node"`
	Pool struct {
		Wanted  int      `json:"wanted"`
		Setting string   `json:"setting"`
		Why     string   `json:"why"`
		Used    int      `json:"used"`
		Plan    []string `json:"plan"`
	} `json:"pool"`
	ENIs []struct {
		ID    string `json:"id"`
		Used  int    `json:"used"`
		Drain *struct {
			Pods  int    `json:"pods"`
			Waits string `json:"waits"`
		} `json:"drain"`
	} `json:"enis"`
}

func (n *node) status(want int) (s status) {
	n.t.Helper()
	if code, stderr := n.ctl(&s, "status"); code != want {
		n.t.Errorf("vpcctl status: exit code %d, %s", code, stderr)
	}
	return s
}

// attached are the ENIs that EC2 says the instance has.
func (n *node) attached() []string {
	n.t.Helper()
	var vpc struct {
		Network network.VPC `json:"network"`
	}
	if err := json.Unmarshal([]byte(n.run("vpcsim", "topology", "--name", n.sim, "--json")), &vpc); err != nil {
		n.t.Fatal(err)
	}
	var out []string
	for _, p := range vpc.Network.Ports {
		out = append(out, p.ENI)
	}
	return out
}

// await waits for a condition, limit at most.
func (n *node) await(what string, ok func() bool) {
	n.t.Helper()
	for end := time.Now().Add(limit); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			n.t.Fatalf("in %s not: %s", limit, what)
		}
	}
}

// An operator drains an ENI under pods: status tells of it, the pool grows on
// another, a restart changes nothing, and EC2 has it no more when the last pod has
// gone. vpcctl pods agrees with who asked, and max-pods knows the node's own type.
func TestOperate(t *testing.T) {
	t.Parallel()
	const settings = "WARM_IP_TARGET=1 IP_COOLDOWN_PERIOD=1"
	n := up(t, "t3.medium")
	stop := n.daemon(strings.Fields(settings)...)
	n.pods(6)
	var s status
	n.await("the pool is as wanted", func() bool { s = n.status(0); return s.Pool.Wanted == 7 && len(s.Pool.Plan) == 0 && len(s.ENIs) == 2 })
	if s.State != "serving" || s.Node.Type != "t3.medium" || s.Pool.Setting != "WARM_IP_TARGET" || s.Pool.Why != "6 in use + 1 of WARM_IP_TARGET" || s.Node.Targets["WARM_IP_TARGET"] != 1 {
		t.Errorf("status is %+v", s)
	}
	var own struct{ Type, Source string }
	if code, stderr := n.ctl(&own, "max-pods"); code != 0 || own.Type != "t3.medium" || own.Source != "daemon" {
		t.Errorf("max-pods: %d, %+v, %s", code, own, stderr)
	}
	var pods struct {
		Source string
		Pods   []struct {
			Pod, Address, ENI, ContainerID string
			Since                          time.Time
		}
	}
	if n.ctl(&pods, "pods"); pods.Source != "daemon" || len(pods.Pods) != 6 {
		t.Fatalf("pods are %+v", pods)
	}
	second := s.ENIs[1].ID
	var there []string
	for _, p := range pods.Pods {
		if p.Pod != p.ContainerID || time.Since(p.Since) > 5*time.Minute || p.Address == "" {
			t.Errorf("%+v", p)
		}
		if p.ENI == second {
			there = append(there, p.ContainerID)
		}
	}
	if len(there) != 1 {
		t.Fatalf("pods on %s: %v", second, there)
	}

	if code, stderr := n.ctl(nil, "drain-eni", s.ENIs[0].ID); code != 1 || !strings.Contains(stderr, "primary ENI") {
		t.Errorf("draining the primary ENI: %d, %s", code, stderr)
	}
	if code, stderr := n.ctl(nil, "drain-eni", second); code != 0 {
		t.Fatalf("drain-eni: %d, %s", code, stderr)
	}
	n.await("another ENI has grown", func() bool { s = n.status(0); return len(s.ENIs) == 3 && len(s.Pool.Plan) == 0 })
	stop()
	if code, _ := n.ctl(nil, "status"); code != 1 {
		t.Errorf("status of a dead daemon: exit code %d", code)
	}
	n.daemon(strings.Fields(settings)...)
	n.await("it serves again", func() bool { code, _ := n.ctl(&s, "status"); return code == 0 })
	if d := s.ENIs[1].Drain; s.ENIs[1].ID != second || d == nil || d.Pods != 1 || !strings.HasPrefix(d.Waits, "1 pods to go; 3 ENIs are all") {
		t.Errorf("after a restart %+v", s.ENIs)
	}
	if code, _ := n.ctl(nil, "drain-eni", second, "--wait", "--timeout", "100ms"); code != 3 {
		t.Errorf("drain-eni --wait ends too early with %d", code)
	}
	if err := ipamclient.New(n.socket).Release(t.Context(), vpcnet.Attachment{Network: "vpc", ContainerID: there[0], IfName: "eth0"}); err != nil {
		t.Fatal(err)
	}
	var end struct{ State string }
	if code, stderr := n.ctl(&end, "drain-eni", second, "--wait", "--timeout", limit.String()); code != 0 || end.State != "gone" {
		t.Errorf("drain-eni --wait: %d, %+v, %s", code, end, stderr)
	}
	if ids := n.attached(); slices.Contains(ids, second) || len(ids) != 2 {
		t.Errorf("EC2 has %v", ids)
	}
	// A daemon without a kernel sees no pods: it releases none.
	if code, stderr := n.ctl(nil, "gc"); code != 1 || !strings.Contains(stderr, "nothing is released") {
		t.Errorf("gc: %d, %s", code, stderr)
	}
}
