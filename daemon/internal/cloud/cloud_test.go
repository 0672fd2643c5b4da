package cloud

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/integration/vpcsim/ec2"
	"github.com/vpcchain/vpcchain/integration/vpcsim/topology"
)

const tinyVPC = `
region: us-west-2
vpc: {id: vpc-1, cidrs: [10.20.0.0/16, 100.64.0.0/16]}
routeTables: [{id: rtb-main}]
securityGroups: [{id: sg-nodes}, {id: sg-pods}]
subnets:
  - {id: subnet-a, cidr: 10.20.11.0/24, az: us-west-2a, routeTable: rtb-main}
  - {id: subnet-tiny, cidr: 100.64.0.0/28, az: us-west-2a, routeTable: rtb-main}
instances:
  - {name: node-a, id: i-0123, type: m5.large, subnet: subnet-a, ip: 10.20.11.162, groups: [sg-nodes]}
`

// direct sends a request to the handler of its host, in the same goroutine.
type direct struct {
	ec2  *ec2.DirectClient
	imds http.Handler

	mu     sync.Mutex
	agents []string // user agents of EC2 calls
}

func (d *direct) Do(r *http.Request) (*http.Response, error) {
	if r.URL.Hostname() == "169.254.169.254" {
		w := httptest.NewRecorder()
		d.imds.ServeHTTP(w, r)
		return w.Result(), nil
	}
	d.mu.Lock()
	d.agents = append(d.agents, r.UserAgent())
	d.mu.Unlock()
	return d.ec2.Do(r)
}

// node is an instance of the simulator, inside a bubble of virtual time.
type node struct {
	t   *testing.T
	c   *Client
	sim *ec2.Sim
}

// onNodeA runs f on instance node-a of the simulator, in virtual time.
func onNodeA(t *testing.T, o Options, f func(node)) {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	for _, name := range []string{"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_ENDPOINT_URL_EC2", "AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_EC2_METADATA_DISABLED"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_CONFIG_FILE", "/dev/null")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
	topo, err := topology.Parse([]byte(tinyVPC))
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		sim, err := ec2.New(topo)
		if err != nil {
			t.Fatal(err)
		}
		o.HTTPClient = &direct{ec2: sim.Client(), imds: sim.IMDS(func(*http.Request) (string, bool) { return "node-a", true })}
		o.Version = "1.2.3"
		c, err := New(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		sim.ResetCalls()
		f(node{t, c, sim})
	})
}

func calls(sim *ec2.Sim) map[string]int {
	out := map[string]int{}
	for _, c := range sim.Calls() {
		out[c.Action+" "+c.Outcome] += c.Count
	}
	return out
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func sameNet() cmp.Option {
	return cmp.Options{
		cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
		cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	}
}

func TestNode(t *testing.T) {
	onNodeA(t, Options{}, func(n node) {
		t, c, sim := n.t, n.c, n.sim
		got, err := c.Node(t.Context())
		check(t, err)
		enis, err := c.ENIs(t.Context())
		check(t, err)
		want := eni.Node{
			InstanceID: "i-0123", InstanceType: "m5.large", Region: "us-west-2", AZ: "us-west-2a", VPCID: "vpc-1",
			VPCCIDRs:   []netip.Prefix{netip.MustParsePrefix("10.20.0.0/16"), netip.MustParsePrefix("100.64.0.0/16")},
			PrimaryENI: enis[0].ID, PrimaryMAC: enis[0].MAC, PrimaryIP: netip.MustParseAddr("10.20.11.162"),
			SubnetID: "subnet-a", Subnet: netip.MustParsePrefix("10.20.11.0/24"), Groups: []string{"sg-nodes"},
		}
		if d := cmp.Diff(want, got, sameNet()); d != "" {
			t.Errorf("Node (-want +got):\n%s", d)
		}
		if c.InstanceID() != "i-0123" {
			t.Errorf("InstanceID = %s", c.InstanceID())
		}
		if n := len(calls(sim)); n != 0 {
			t.Errorf("IMDS cost %d EC2 calls", n)
		}
	})
}

// TestLifeOfAnENI goes once around: create, attach, mark, assign, unassign,
// detach, delete, and compares EC2's view with that of IMDS.
func TestLifeOfAnENI(t *testing.T) {
	onNodeA(t, Options{}, func(n node) {
		t, c, sim := n.t, n.c, n.sim
		ctx := t.Context()
		spec := eni.CreateSpec{
			SubnetID: "subnet-a", Groups: []string{"sg-nodes", "sg-pods"}, Addresses: 3, Description: "aws-K8S-i-0123",
			Tags: map[string]string{TagCreatedAt: "2026-01-02T03:04:05Z", "b": "2", "a": "1"}, ClientToken: "tok",
		}
		e, err := c.Create(ctx, spec)
		check(t, err)
		again, err := c.Create(ctx, spec)
		check(t, err)
		if again.ID != e.ID {
			t.Errorf("the same ClientToken made %s and %s", e.ID, again.ID)
		}
		attachment, err := c.Attach(ctx, e.ID, 0, 1)
		check(t, err)
		check(t, c.DeleteWithInstance(ctx, e.ID, attachment))
		addrs, err := c.Assign(ctx, e.ID, 2)
		check(t, err)
		if len(addrs) != 2 {
			t.Fatalf("Assign 2 = %v", addrs)
		}
		all, err := c.Describe(ctx)
		check(t, err)
		if len(all) != 2 || !all[0].IsPrimary() {
			t.Fatalf("Describe = %+v", all)
		}
		got := all[1]
		want := e
		want.AttachmentID, want.Device, want.DeleteOnTermination = attachment, 1, true
		want.Addresses = append(slices.Clone(e.Addresses), addrs...)
		want.Created = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		if d := cmp.Diff(want, got, sameNet()); d != "" {
			t.Errorf("Describe (-want +got):\n%s", d)
		}
		if got.Subnet != netip.MustParsePrefix("10.20.11.0/24") || len(got.Addresses) != 5 || got.Primary == got.Addresses[0] || got.Type != "interface" {
			t.Errorf("Describe: %+v", got)
		}
		seen, err := c.ENIs(ctx)
		check(t, err)
		want.AttachmentID, want.DeleteOnTermination, want.Tags, want.Description, want.Type, want.AZ, want.Created = "", false, nil, "", "", "", time.Time{}
		want.Untold = true
		if d := cmp.Diff(want, seen[1], sameNet()); d != "" {
			t.Errorf("IMDS (-want +got):\n%s", d)
		}
		check(t, c.Unassign(ctx, e.ID, addrs))
		check(t, c.Unassign(ctx, e.ID, nil))
		check(t, c.Detach(ctx, attachment))
		check(t, c.Detach(ctx, attachment))
		check(t, c.Delete(ctx, e.ID))
		check(t, c.Delete(ctx, e.ID))
		if all, err = c.Describe(ctx); err != nil || len(all) != 1 {
			t.Errorf("at the end: %+v, %v", all, err)
		}
		if n := calls(sim)["DescribeSubnets ok"]; n != 1 {
			t.Errorf("%d DescribeSubnets for one subnet", n)
		}
	})
}

func TestPrefixes(t *testing.T) {
	onNodeA(t, Options{}, func(n node) {
		t, c := n.t, n.c
		ctx := t.Context()
		e, err := c.Create(ctx, eni.CreateSpec{SubnetID: "subnet-a", Prefixes: 2})
		check(t, err)
		_, err = c.Attach(ctx, e.ID, 0, 1)
		check(t, err)
		for name, view := range map[string]func(context.Context) ([]eni.ENI, error){"EC2": c.Describe, "IMDS": c.ENIs} {
			enis, err := view(ctx)
			check(t, err)
			if d := cmp.Diff(e.Prefixes, enis[1].Prefixes, sameNet()); d != "" || len(e.Prefixes) != 2 {
				t.Errorf("%s: prefixes (-created +seen):\n%s", name, d)
			}
		}
		_, err = c.Create(ctx, eni.CreateSpec{SubnetID: "subnet-tiny", Prefixes: 1})
		if !errors.Is(err, eni.ErrSubnetFull) || !strings.Contains(err.Error(), "InsufficientCidrBlocks") {
			t.Errorf("a prefix of a /28 subnet: %v", err)
		}
	})
}

func TestGateComesBeforeEveryAttempt(t *testing.T) {
	var apis []string
	refuse := errors.New("no tokens left")
	gate := func(_ context.Context, api string) error {
		if apis = append(apis, api); api == "CreateNetworkInterface" {
			return refuse
		}
		return nil
	}
	onNodeA(t, Options{Gate: gate}, func(n node) {
		t, c, sim := n.t, n.c, n.sim
		sim.Fault(ec2.Fault{Action: "DescribeNetworkInterfaces", Code: "RequestLimitExceeded", Count: 2})
		_, err := c.Describe(t.Context())
		check(t, err)
		if _, err := c.Create(t.Context(), eni.CreateSpec{SubnetID: "subnet-a"}); !errors.Is(err, refuse) {
			t.Errorf("Create = %v, want the gate's error", err)
		}
		want := []string{"DescribeNetworkInterfaces", "DescribeNetworkInterfaces", "DescribeNetworkInterfaces", "DescribeSubnets", "CreateNetworkInterface"}
		if d := cmp.Diff(want, apis); d != "" {
			t.Errorf("gate (-want +got):\n%s", d)
		}
		if n := calls(sim)["CreateNetworkInterface ok"]; n != 0 {
			t.Error("the gate let the call through")
		}
	})
}

func TestUserAgent(t *testing.T) {
	onNodeA(t, Options{}, func(n node) {
		t, c := n.t, n.c
		_, err := c.Describe(t.Context())
		check(t, err)
		d, _ := c.ec2.Options().HTTPClient.(*direct)
		if d == nil || len(d.agents) == 0 || !strings.Contains(d.agents[0], "vpc-ipamd/1.2.3") {
			t.Errorf("user agents: %+v", d)
		}
	})
}

func TestLimits(t *testing.T) {
	onNodeA(t, Options{}, func(n node) {
		t, c, sim := n.t, n.c, n.sim
		l, err := c.Limits(t.Context(), "m5.large")
		if want := (eni.Limits{ENIs: 3, IPv4PerENI: 10, Hypervisor: "nitro", Branches: 9}); err != nil || l != want {
			t.Errorf("m5.large = %+v, %v", l, err)
		}
		if n := len(calls(sim)); n != 0 {
			t.Errorf("a type of the table cost %d EC2 calls", n)
		}
		if _, err := c.Limits(t.Context(), "x9.none"); err == nil || !strings.Contains(err.Error(), "x9.none") {
			t.Errorf("unknown type: %v", err)
		}
		if calls(sim)["DescribeInstanceTypes InvalidInstanceType"] != 1 {
			t.Errorf("an unknown type must be asked for: %v", calls(sim))
		}
	})
}

func TestOutsideAnInstance(t *testing.T) {
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://169.254.169.254")
	synctest.Test(t, func(t *testing.T) {
		_, err := New(t.Context(), Options{HTTPClient: refusing{}})
		if err == nil || !strings.Contains(err.Error(), "check that IMDSv2 is enabled and reachable") {
			t.Errorf("New = %v", err)
		}
	})
}

type refusing struct{}

func (refusing) Do(*http.Request) (*http.Response, error) {
	return nil, errors.New("connection refused")
}
