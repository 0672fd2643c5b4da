package targets

import (
	"context"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vpcchain/vpcchain/integration/vpcsim/ec2"
	"github.com/vpcchain/vpcchain/pkg/ipamapi"
	"github.com/vpcchain/vpcchain/pkg/ipamclient"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// TestBranchADD: how long a pod waits for its branch ENI, beside what EC2 takes. The
// node's first one waits for the trunk as well; one whose security groups nobody
// has yet for a branch to be made and associated; the next one has the spare
// branch that was made for it meanwhile, and asks EC2 nothing.
func TestBranchADD(t *testing.T) {
	const create, associate, attach, other = 500 * time.Millisecond, 500 * time.Millisecond, 2 * time.Second, 100 * time.Millisecond
	n := up(t, "m5.large")
	for api, d := range map[string]time.Duration{
		"CreateNetworkInterface": create, "AssociateTrunkInterface": associate, "AttachNetworkInterface": attach, ec2.AnyFault: other,
	} {
		half := (d / 2).String()
		n.run("vpcsim", "fault", api, "--latency", half, "--reply-latency", half, "--name", n.sim)
	}
	n.daemon("ENABLE_POD_ENI=true", "WARM_IP_TARGET=1", "ENABLE_SUBNET_DISCOVERY=false")
	n.pods(1) // the daemon serves
	client := ipamclient.New(n.socket)
	seen := map[int]bool{}
	add := func(id string) time.Duration {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		begin := time.Now()
		got, err := client.Assign(ctx, ipamclient.Request{
			Attachment: vpcnet.Attachment{Network: "vpc", ContainerID: id, IfName: "eth0"}, Pod: ipamclient.Pod{Namespace: "default", Name: id},
			Annotations: map[string]string{ipamapi.AnnotationGroups: "sg-" + id[:1]},
		})
		if err != nil || got.Branch == nil || seen[got.Branch.VLAN] {
			t.Fatalf("a branch for %s: %+v, %v", id, got, err)
		}
		seen[got.Branch.VLAN] = true
		return time.Since(begin)
	}
	first := add("a1")
	if path := create + attach + create + associate; first < path {
		t.Errorf("the first branch came after %s, sooner than EC2 can make trunk and branch, %s", first, path)
	}
	without := add("b1")
	if path := create + associate; without < path {
		t.Errorf("a branch came after %s, sooner than EC2 can make it, %s", without, path)
	}
	n.spares("sg-a warm", "sg-b warm")
	before := n.calls()
	n.run("vpcsim", "fault", "CreateNetworkInterface", "--latency", "30s", "--name", n.sim) // the next spare one may take its time
	with := add("b2")
	if d := cmp.Diff(before, n.calls()); d != "" {
		t.Errorf("EC2 calls of an ADD with a spare branch:\n%s", d)
	}
	if with > create+associate {
		t.Errorf("with a spare branch an ADD takes %s, as long as EC2 takes to make one", with)
	}
	t.Logf("EC2: create %s, associate %s, attach %s, else %s", create, associate, attach, other)
	t.Logf("first of the node, trunk included: %.2f s; first of its groups: %.2f s; with a spare branch: %.1f ms",
		first.Seconds(), without.Seconds(), float64(with.Microseconds())/1000)
}

// spares waits until a spare branch is there for each of the groups.
func (n *node) spares(groups ...string) {
	n.t.Helper()
	var got []string
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		var pool struct {
			Trunk struct {
				Branches []struct {
					State  string
					Groups []string
				}
			}
		}
		if err := json.Unmarshal([]byte(n.run("vpcctl", "pool", "--json", "--socket", n.socket)), &pool); err != nil {
			n.t.Fatal(err)
		}
		got = nil
		for _, b := range pool.Trunk.Branches {
			if b.State != "in use" {
				got = append(got, b.Groups[0]+" "+b.State)
			}
		}
		slices.Sort(got)
		if slices.Equal(got, groups) {
			return
		}
	}
	n.t.Fatalf("spare branches stay %q, want %q", got, groups)
}
