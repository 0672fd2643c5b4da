package topology

import (
	"strings"
	"testing"
)

func TestDefault(t *testing.T) {
	topo := Default()
	if len(topo.Instances) != 2 || topo.Instances[0].IP.String() != "10.20.11.162" {
		t.Errorf("instances %+v", topo.Instances)
	}
	for _, want := range []string{"node-a", "10.20.11.162", "100.64.32.0/19", "onprem", "nat-a", "public 54.70.14.10", "public 54.70.11.162"} {
		if !strings.Contains(topo.String(), want) {
			t.Errorf("String lacks %s:\n%s", want, topo)
		}
	}
}

// Each edit breaks one rule; the error names what is wrong.
func TestMistakes(t *testing.T) {
	for _, tc := range []struct{ old, new, want string }{
		{"cidr: 10.20.12.0/24", "cidr: 10.20.11.128/25", "overlaps"},
		{"cidr: 10.20.12.0/24", "cidr: 10.30.12.0/24", "in no CIDR"},
		{"ip: 10.20.12.45", "ip: 10.20.12.3", "reserved"},
		{"ip: 10.20.12.45", "ip: 10.20.11.45", "not in subnet"},
		{"ip: 10.20.12.45", "ip: 10.20.11.162", "belongs to"},
		{"groups: [sg-nodes]", "groups: [sg-none]", "sg-none"},
		{"target: vgw", "target: tgw", "tgw"},
		{"destination: 0.0.0.0/0", "destination: 172.31.0.0/16", "goes to vgw and to igw"},
		{"ip: 52.78.83.169", "ip: 10.20.7.10", "inside the VPC"},
		{"http: true", "https: true", "https"},
		{"internetGateway: igw", "internetGateway: node-a", "has that name"},
		{"natGateways:\n", "nats:\n", "nats"},
		{"internetGateway: igw\n", "", "needs an internetGateway"},
		{"name: nat-a", "name: onprem", "has that name"},
		{"name: nat-a", "name: NAT", "host name"},
		{"nat-a, subnet: subnet-public", "nat-a, subnet: subnet-private", "subnet-private"},
		{"nat-a, subnet: subnet-public", "nat-a, subnet: subnet-node-a", "not in subnet"},
		{"publicIP: 54.70.14.10", "publicIP: 54.70.12.45", "belongs to"},
		{", publicIP: 54.70.14.10", "", "no IPv4 address"},
		{"publicIP: 54.70.11.162", "publicIP: 10.20.11.163", "inside the VPC"},
		{"routeTable: rtb-public", "routeTable: rtb-pods", "own subnet goes to NAT gateway"},
		{"name: node-b", "name: node-a", "has that name"},
		{"name: node-b", "name: Node/B", "host name"},
		{"region:", "regoin:", "regoin"},
		{"ip: 172.31.7.10", "ip: 10.20.7.10", "inside the VPC"},
	} {
		text := strings.Replace(string(defaultYAML), tc.old, tc.new, 1)
		if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s -> %s: error %v, want one with %q", tc.old, tc.new, err, tc.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(defaultYAML)
	f.Add([]byte("vpc: {cidrs: [10.0.0.0/16]}"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if topo, err := Parse(raw); err == nil && (len(topo.Instances) == 0 || len(topo.VPC.CIDRs) == 0) {
			t.Fatalf("accepted a topology without instances or CIDRs: %+v", topo)
		}
	})
}
