package cli_test

import (
	"bufio"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/vpcchain/vpcchain/integration/vm"
	"github.com/vpcchain/vpcchain/integration/vpcsim/network"
)

// element is the text of the first element of that name in a good answer.
func element(t *testing.T, answer, name string) string {
	t.Helper()
	_, rest, ok := strings.Cut(answer, "<"+name+">")
	text, _, _ := strings.Cut(rest, "<")
	if !ok || !strings.HasPrefix(answer, "200") {
		t.Fatalf("no %s in the answer %s", name, answer)
	}
	return text
}

// withBranch gives node-a a trunk as eth1 and on it a branch of VLAN 5, with
// call as its EC2 client.
func withBranch(t *testing.T, instance string, call func(action string, params ...string) string) (trunk, branch string) {
	t.Helper()
	trunk = element(t, call("CreateNetworkInterface", "SubnetId=subnet-node-a", "InterfaceType=trunk"), "networkInterfaceId")
	branch = element(t, call("CreateNetworkInterface", "SubnetId=subnet-pod-a", "InterfaceType=branch"), "networkInterfaceId")
	element(t, call("AttachNetworkInterface", "NetworkInterfaceId="+trunk, "InstanceId="+instance, "DeviceIndex=1"), "attachmentId")
	element(t, call("AssociateTrunkInterface", "TrunkInterfaceId="+trunk, "BranchInterfaceId="+branch, "VlanId=5"), "associationId")
	return trunk, branch
}

type shown struct {
	Network  network.VPC
	Problems []string
}

func TestBranchWithoutFabric(t *testing.T) {
	t.Parallel()
	p := newPlain(t)
	p.must("up", "--no-fabric")
	env := p.env("node-a")
	trunk, branch := withBranch(t, p.metadata(env["AWS_EC2_METADATA_SERVICE_ENDPOINT"], "instance-id"), func(action string, params ...string) string {
		return p.call(env["AWS_ENDPOINT_URL_EC2"], action, params...)
	})
	out := p.must("topology")
	for _, want := range []string{`trunk +` + trunk + ` eth1 of node-a`, `branch +` + branch + ` eth1 vlan 5 of node-a +100\.64\.40\.17`} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("the topology has no line %q:\n%s", want, out)
		}
	}
	if strings.Contains(out, "PROBLEM") {
		t.Errorf("a problem without fabric:\n%s", out)
	}
	if out := p.must("enis"); !regexp.MustCompile(branch+` +branch +node-a +1 +5 `).MatchString(out) || !regexp.MustCompile(trunk+` +trunk +node-a +1 +- `).MatchString(out) {
		t.Errorf("the ENIs lack the trunk or its branch:\n%s", out)
	}
	p.must("detach", branch)
	if out := p.must("topology"); strings.Contains(out, branch) {
		t.Errorf("a branch that was taken off its trunk:\n%s", out)
	}
}

// onFabric is withBranch for a simulation with fabric.
func (s *sim) onFabric() (trunk, branch string) {
	s.t.Helper()
	token, _ := strings.CutPrefix(s.client("node-a", "http", "PUT", imds+"api/token", "X-aws-ec2-metadata-token-ttl-seconds=60"), "200 ")
	id, ok := strings.CutPrefix(s.client("node-a", "http", "GET", imds+"meta-data/instance-id", "X-aws-ec2-metadata-token="+token), "200 ")
	if !ok {
		s.t.Fatalf("IMDS: %s", id)
	}
	api := s.ec2API("node-a")
	return withBranch(s.t, id, func(action string, params ...string) string {
		return s.client("node-a", "http", "POST", api+"/?Action="+action+"&"+strings.Join(params, "&"))
	})
}

// On a kernel without 802.1Q the API works, and the operator sees what does not.
func TestBranchOnAnyKernel(t *testing.T) {
	t.Parallel()
	s := up(t)
	_, branch := s.onFabric()
	got, want := decode[shown](s, "topology"), 1
	if vm.Probe() == nil {
		want = 0
	}
	if len(got.Problems) != want {
		t.Errorf("%d problems, want %d: %v", len(got.Problems), want, got.Problems)
	}
	log, err := os.ReadFile(s.path("server.log"))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"topology": s.must("topology"), "the server's log": string(log)} {
		if n := strings.Count(text, "branch "+branch+" (VLAN 5 of eth1 in node-a) carries no packets"); n != want {
			t.Errorf("%s tells %d times that the branch is not carried, want %d:\n%s", name, n, want, text)
		}
	}
}

// The capture shows the VLAN id of what a branch sends on the trunk's link.
func TestVLANCapture(t *testing.T) {
	vm.RequireVLAN(t)
	s := up(t)
	_, branch := s.onFabric()
	var mac, addr string
	for _, p := range decode[shown](s, "topology").Network.Ports {
		if p.ENI == branch {
			mac, addr = p.MAC, p.Primary.String()
		}
	}
	s.on("node-a", "sh", "-ec", fmt.Sprintf(`ip link set eth1 up
ip link add link eth1 name vlan0 address %s type vlan id 5
ip addr add %s/32 dev vlan0
ip link set vlan0 up
ip route add 100.64.32.1 dev vlan0
ip route add 172.31.7.10 via 100.64.32.1 dev vlan0 src %s`, mac, addr, addr))
	cmd := s.command("capture", "-c", "1", "--for", limit.String(), "node-a", "eth1", "vlan 5 and udp")
	lines, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(lines).ReadString('\n'); err != nil || !strings.HasPrefix(line, "listening on eth1") {
		t.Errorf("capture says %q, %v", line, err)
	}
	s.client("node-a", "udp", "172.31.7.10:5353")
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); !strings.Contains(got, addr) || !strings.Contains(got, "802.1Q id=5") {
		t.Errorf("capture shows\n%s", got)
	}
}
