package trunking_test

import (
	"bytes"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/vpcchain/vpcchain/daemon/internal/config"
	"github.com/vpcchain/vpcchain/daemon/internal/hostnet"
	"github.com/vpcchain/vpcchain/integration/vpcsim/ec2"
	"github.com/vpcchain/vpcchain/integration/vpcsim/topology"
	"github.com/vpcchain/vpcchain/pkg/sgpp"
)

const vpc = `
vpc: {cidrs: [10.20.0.0/16]}
routeTables: [{id: rtb-main}]
securityGroups: [{id: sg-nodes}, {id: sg-a}, {id: sg-b}, {id: sg-c}]
subnets: [{id: subnet-a, cidr: 10.20.0.0/20, az: us-west-2a, routeTable: rtb-main}]
instances: [{name: node, id: i-0123, type: %s, subnet: subnet-a, ip: 10.20.0.10, groups: [sg-nodes]}]
`

// world is a node with a simulated EC2, in a bubble of virtual time. What the
// kernel would show of its pods is in pods.
type world struct {
	t      *testing.T
	sim    *ec2.Sim
	imds   *ec2.DirectClient
	config config.Config
	base   string
	dirs   int
	log    bytes.Buffer

	mu   sync.Mutex
	pods []hostnet.Witness
	want []sgpp.Branch // that the kernel was last asked to have
	node sgpp.Node
	now  *life
}

// inVPC runs f with a node of the instance type that has not started yet.
func inVPC(t *testing.T, kind string, env map[string]string, f func(w *world)) {
	t.Helper()
	topo, err := topology.Parse(fmt.Appendf(nil, vpc, kind))
	if err != nil {
		t.Fatal(err)
	}
	c, err := config.Parse(func(name string) string {
		if v, ok := env[name]; ok {
			return v
		}
		return map[string]string{"ENABLE_POD_ENI": "true", "WARM_IP_TARGET": "1", "ENABLE_SUBNET_DISCOVERY": "false"}[name]
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "id")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	t.Setenv("AWS_REGION", "us-west-2")
	t.Setenv("AWS_ENDPOINT_URL_EC2", "http://ec2.invalid")
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://imds.invalid")
	base := t.TempDir()
	var w *world
	synctest.Test(t, func(t *testing.T) {
		sim, err := ec2.New(topo)
		if err != nil {
			t.Fatal(err)
		}
		imds := ec2.NewDirectClient(sim.IMDS(func(*http.Request) (string, bool) { return "node", true }))
		w = &world{t: t, sim: sim, imds: imds, config: c, base: base}
		f(w)
		w.kill()
	})
	if t.Failed() {
		t.Log(w.log.String())
	}
}
