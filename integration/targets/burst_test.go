package targets

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vpcchain/vpcchain/integration/vpcsim/ec2"
	"github.com/vpcchain/vpcchain/integration/vpcsim/ideal"
	"github.com/vpcchain/vpcchain/pkg/ipamclient"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// TestBurst: a burst of pods meets a node that has just begun to serve. How near
// it comes to the perfect plan is exact in daemon/internal/growth, in virtual
// time; this is what the binaries take, whose clock is the machine's. Without a
// fabric the link of an ENI is there at once.
func TestBurst(t *testing.T) {
	l := ideal.Latencies{Create: 500 * time.Millisecond, Attach: 2 * time.Second, Mark: 100 * time.Millisecond, Assign: 500 * time.Millisecond}
	for _, tc := range []struct {
		kind    string
		pods    int
		limits  ideal.Node
		setting string
	}{
		{"m5.large", 27, ideal.Node{ENIs: 3, PerENI: 9, PerPiece: 1, Burst: 50, PerSecond: 5}, "WARM_ENI_TARGET=1"},
		{"m5.4xlarge", 232, ideal.Node{ENIs: 8, PerENI: 29, PerPiece: 1, Burst: 50, PerSecond: 5}, "WARM_ENI_TARGET=1"},
		{"m5.large", 110, ideal.Node{ENIs: 3, PerENI: 9, PerPiece: 16, Burst: 50, PerSecond: 5}, "ENABLE_PREFIX_DELEGATION=true"},
	} {
		t.Run(fmt.Sprintf("%s,%d pods,%s", tc.kind, tc.pods, tc.setting), func(t *testing.T) {
			n := up(t, tc.kind)
			n.slow(l)
			n.daemon(tc.setting, fmt.Sprintf("MAX_PODS=%d", tc.pods))
			took := n.burst(tc.pods)
			plan, err := ideal.For(tc.limits, l, tc.pods)
			if err != nil {
				t.Fatal(err)
			}
			want := plan.Calls()
			if want[ideal.Create] > 0 {
				want["DescribeSubnets"] = 1
			}
			want["DescribeNetworkInterfaces"] = 2
			got := n.calls()
			// On a machine so slow that the ADDs come after the daemon's first call,
			// 60 ms after its start, a prefix has been asked for without them.
			if tc.limits.PerPiece > 1 && got[ideal.Assign] == 2 {
				t.Log("the first prefix was asked for before the ADDs came")
				want[ideal.Assign] = 2
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("EC2 calls (-plan +made):\n%s", d)
			}
			if took < plan.Served {
				t.Errorf("the last pod is served after %s, sooner than EC2 can, %s", took, plan.Served)
			}
			t.Logf("the last pod is served after %.2f s; critical path %.2f s, ratio %.2f", took.Seconds(), plan.Served.Seconds(), took.Seconds()/plan.Served.Seconds())
		})
	}
}

// slow makes EC2 take its time, half of it before a call's effect.
func (n *node) slow(l ideal.Latencies) {
	n.t.Helper()
	for api, d := range map[string]time.Duration{
		ideal.Create: l.Create, ideal.Attach: l.Attach, ideal.Mark: l.Mark, ideal.Assign: l.Assign, "*": 100 * time.Millisecond,
	} {
		half := (d / 2).String()
		n.run("vpcsim", "fault", api, "--latency", half, "--reply-latency", half, "--name", n.sim)
	}
}

// burst is so many ADDs at once, the moment the daemon serves; it returns how long
// the last of them took.
func (n *node) burst(pods int) time.Duration {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), limit)
	defer cancel()
	for {
		if _, err := os.Stat(n.socket); err == nil {
			break
		}
		if ctx.Err() != nil {
			n.t.Fatal("the daemon does not serve")
		}
		time.Sleep(time.Millisecond)
	}
	client := ipamclient.New(n.socket)
	begin := time.Now()
	var all sync.WaitGroup
	for i := range pods {
		all.Go(func() {
			id := fmt.Sprintf("pod-%d", i)
			a := vpcnet.Attachment{Network: "vpc", ContainerID: id, IfName: "eth0"}
			if _, err := client.Assign(ctx, ipamclient.Request{Attachment: a, Pod: ipamclient.Pod{Namespace: "default", Name: id}}); err != nil {
				n.t.Errorf("an address for %s: %v", id, err)
			}
		})
	}
	all.Wait()
	return time.Since(begin)
}

// calls counts those that EC2 has carried out; others are by their error too.
func (n *node) calls() map[string]int {
	n.t.Helper()
	var list []ec2.Call
	if err := json.Unmarshal([]byte(n.run("vpcsim", "calls", "--json", "--name", n.sim)), &list); err != nil {
		n.t.Fatal(err)
	}
	out := map[string]int{}
	for _, c := range list {
		name := c.Action
		if c.Outcome != ec2.OK {
			name += " " + c.Outcome
		}
		out[name] += c.Count
	}
	return out
}
