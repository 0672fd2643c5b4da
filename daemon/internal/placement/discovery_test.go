package placement

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/cloud"
	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/integration/vpcsim/ec2"
	"github.com/vpcchain/vpcchain/integration/vpcsim/topology"
)

func TestChoose(t *testing.T) {
	type tags = map[string]string
	const own = "subnet-own"
	for name, tc := range map[string]struct {
		subnets []eni.Subnet
		cluster string
		want    string // ids in order, or words of the error
	}{
		"the own one":             {[]eni.Subnet{{ID: own, Free: 9}, {ID: "s-1", Free: 90}}, "", own},
		"most free first":         {[]eni.Subnet{{ID: own, Free: 9}, {ID: "s-1", Free: 8, Tags: tags{roleTag: "1"}}, {ID: "s-2", Free: 10, Tags: tags{roleTag: ""}}}, "", "s-2 subnet-own s-1"},
		"equal ones by id":        {[]eni.Subnet{{ID: "s-2", Free: 5, Tags: tags{roleTag: "1"}}, {ID: "s-1", Free: 5, Tags: tags{roleTag: "1"}}}, "", "s-1 s-2"},
		"the own one is excluded": {[]eni.Subnet{{ID: own, Free: 9, Tags: tags{roleTag: "0"}}, {ID: "s-1", Free: 8, Tags: tags{roleTag: "1"}}}, "", "s-1"},
		"all are excluded":        {[]eni.Subnet{{ID: own, Free: 9, Tags: tags{roleTag: "0"}}}, "", "set the tag kubernetes.io/role/cni=1"},
		"without room":            {[]eni.Subnet{{ID: own, Free: 1}, {ID: "s-1", Free: 2, Tags: tags{roleTag: "1"}}}, "", "s-1"},
		"none has room":           {[]eni.Subnet{{ID: own, Free: 1}, {ID: "s-1", Tags: tags{roleTag: "1"}}}, "", "too few free addresses: subnet-own has 1, s-1 has 0"},
		"of this cluster":         {[]eni.Subnet{{ID: "s-1", Free: 8, Tags: tags{roleTag: "1", clusterPrefix + "a": "", clusterPrefix + "b": ""}}}, "a", "s-1"},
		"of another cluster":      {[]eni.Subnet{{ID: own, Free: 7}, {ID: "s-1", Free: 8, Tags: tags{roleTag: "1", clusterPrefix + "b": ""}}}, "a", own},
		"of whatever cluster":     {[]eni.Subnet{{ID: "s-1", Free: 8, Tags: tags{roleTag: "1", clusterPrefix + "b": ""}}}, "", "s-1"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Choose(tc.subnets, own, tc.cluster)
			if err != nil {
				if !strings.Contains(err.Error(), tc.want) {
					t.Errorf("%q does not say %q", err, tc.want)
				}
				if full := errors.Is(err, eni.ErrSubnetFull); full != strings.Contains(tc.want, "too few") {
					t.Errorf("%v: full is %t", err, full)
				}
				return
			}
			if text := ids(got); text != tc.want {
				t.Errorf("got %q, want %q", text, tc.want)
			}
		})
	}
}

func ids(list []eni.Placement) string {
	var out []string
	for _, p := range list {
		out = append(out, p.SubnetID)
	}
	return strings.Join(out, " ")
}

const zones = `
region: us-west-2
vpc: {id: vpc-1, cidrs: [10.20.0.0/16, 100.64.0.0/16]}
routeTables: [{id: rtb-main}]
securityGroups: [{id: sg-nodes}]
subnets:
  - {id: subnet-node, cidr: 10.20.11.0/24, az: us-west-2a, routeTable: rtb-main}
  - {id: subnet-untagged, cidr: 10.20.16.0/20, az: us-west-2a, routeTable: rtb-main}
  - {id: subnet-pods, cidr: 100.64.0.0/24, az: us-west-2a, routeTable: rtb-main, tags: {kubernetes.io/role/cni: "1"}}
  - {id: subnet-pods-small, cidr: 100.64.1.0/28, az: us-west-2a, routeTable: rtb-main, tags: {kubernetes.io/role/cni: ""}}
  - {id: subnet-pods-b, cidr: 100.64.16.0/20, az: us-west-2b, routeTable: rtb-main, tags: {kubernetes.io/role/cni: "1"}}
  - {id: subnet-not, cidr: 100.64.32.0/20, az: us-west-2a, routeTable: rtb-main, tags: {kubernetes.io/role/cni: "0"}}
instances:
  - {name: node-a, id: i-0123, type: m5.large, subnet: subnet-node, ip: 10.20.11.162, groups: [sg-nodes]}
`

// both sends a request to the handler of its host, in the same goroutine.
type both struct {
	ec2  *ec2.DirectClient
	imds http.Handler
}

func (b both) Do(r *http.Request) (*http.Response, error) {
	if r.URL.Hostname() == "169.254.169.254" {
		w := httptest.NewRecorder()
		b.imds.ServeHTTP(w, r)
		return w.Result(), nil
	}
	return b.ec2.Do(r)
}

// onNode runs f on node-a with the real SDK, in virtual time.
func onNode(t *testing.T, f func(t *testing.T, d *Discovery, c *cloud.Client, sim *ec2.Sim, node eni.Node)) {
	t.Helper()
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
		"AWS_REGION": "", "AWS_ENDPOINT_URL_EC2": "", "AWS_EC2_METADATA_SERVICE_ENDPOINT": "",
	} {
		t.Setenv(name, value)
	}
	topo, err := topology.Parse([]byte(zones))
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		sim, err := ec2.New(topo)
		if err != nil {
			t.Fatal(err)
		}
		c, err := cloud.New(t.Context(), cloud.Options{HTTPClient: both{sim.Client(), sim.IMDS(func(*http.Request) (string, bool) { return "node-a", true })}})
		if err != nil {
			t.Fatal(err)
		}
		node, err := c.Node(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		sim.ResetCalls()
		f(t, NewDiscovery(c, "", slog.New(slog.DiscardHandler)), c, sim, node)
	})
}

func describes(sim *ec2.Sim) (n int) {
	for _, c := range sim.Calls() {
		if c.Action == "DescribeSubnets" {
			n += c.Count
		}
	}
	return n
}

func TestDiscovery(t *testing.T) {
	onNode(t, func(t *testing.T, d *Discovery, c *cloud.Client, sim *ec2.Sim, node eni.Node) {
		want := func(list string) {
			t.Helper()
			if got, err := d.Places(t.Context(), node); err != nil || ids(got) != list {
				t.Errorf("places %q, %v; want %q", ids(got), err, list)
			}
		}
		// 251 addresses of 256 are EC2's to give, and the node has one of its subnet's.
		want("subnet-pods subnet-node subnet-pods-small")
		for range 2 {
			if _, err := c.Create(t.Context(), eni.CreateSpec{SubnetID: "subnet-pods", Addresses: 9}); err != nil {
				t.Fatal(err)
			}
		}
		want("subnet-pods subnet-node subnet-pods-small")
		if n := describes(sim); n != 1 {
			t.Errorf("DescribeSubnets was called %d times: the answer is kept, and it tells the subnets' CIDRs too", n)
		}
		time.Sleep(keepFor)
		want("subnet-node subnet-pods subnet-pods-small")
		if n := describes(sim); n != 2 {
			t.Errorf("DescribeSubnets was called %d times", n)
		}
	})
}

// EC2 refuses to tell: the node goes on with what it knows.
func TestDiscoveryWithoutAnswer(t *testing.T) {
	onNode(t, func(t *testing.T, d *Discovery, _ *cloud.Client, sim *ec2.Sim, node eni.Node) {
		sim.Fault(ec2.Fault{Action: "DescribeSubnets", Code: "UnauthorizedOperation"})
		if got, err := d.Places(t.Context(), node); err != nil || ids(got) != "subnet-node" {
			t.Errorf("places %q, %v", ids(got), err)
		}
		sim.Fault(ec2.Fault{Action: "DescribeSubnets"})
		const all = "subnet-pods subnet-node subnet-pods-small"
		if got, err := d.Places(t.Context(), node); err != nil || ids(got) != all {
			t.Errorf("places %q, %v", ids(got), err)
		}
		time.Sleep(keepFor)
		sim.Fault(ec2.Fault{Action: "DescribeSubnets", Code: "UnauthorizedOperation"})
		if got, err := d.Places(t.Context(), node); err != nil || ids(got) != all {
			t.Errorf("places %q, %v", ids(got), err)
		}
	})
}

// ENIs that are made at the same time are placed by one answer.
func TestDiscoveryIsAskedOnce(t *testing.T) {
	onNode(t, func(t *testing.T, d *Discovery, _ *cloud.Client, sim *ec2.Sim, node eni.Node) {
		sim.Fault(ec2.Fault{Action: "DescribeSubnets", Latency: time.Second})
		answers := make(chan string, 5)
		for range cap(answers) {
			go func() {
				got, err := d.Places(context.Background(), node)
				if err != nil {
					t.Error(err)
				}
				answers <- ids(got)
			}()
			time.Sleep(time.Millisecond)
		}
		for range cap(answers) {
			if got := <-answers; !strings.HasPrefix(got, "subnet-pods ") {
				t.Errorf("places %q", got)
			}
		}
		if n := describes(sim); n != 1 {
			t.Errorf("DescribeSubnets was called %d times", n)
		}
	})
}
