package fabric_test

import (
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"github.com/vpcchain/vpcchain/integration/vpcsim/fabric"
	"github.com/vpcchain/vpcchain/integration/vpcsim/instance"
	"github.com/vpcchain/vpcchain/integration/vpcsim/netns"
	"github.com/vpcchain/vpcchain/integration/vpcsim/network"
)

// The test VPC: node-a's subnet has a route to the host outside, node-b's none.
const (
	nodeA, nodeB, outside = "node-a", "node-b", "onprem"
	eniA, eniB            = "eni-a", "eni-b"
	sgA, sgB              = "sg-a", "sg-b"
)

// limit bounds every wait of a test that passes; nothing takes that long.
const limit = 10 * time.Second

func ip(s string) netip.Addr     { return netip.MustParseAddr(s) }
func cidr(s string) netip.Prefix { return netip.MustParsePrefix(s) }
func addrA() netip.Addr          { return ip("10.20.1.10") }
func addrB() netip.Addr          { return ip("10.20.2.10") }
func addrOutside() netip.Addr    { return ip("172.31.7.10") }
func all() []network.Permission {
	return []network.Permission{{Protocol: "-1", CIDRs: []netip.Prefix{cidr("0.0.0.0/0")}}}
}

func basePlan() network.VPC {
	return network.VPC{
		CIDRs: []netip.Prefix{cidr("10.20.0.0/16")},
		Subnets: []network.Subnet{
			{ID: "subnet-a", CIDR: cidr("10.20.1.0/24"), AZ: "az-a", RouteTable: "rtb-out"},
			{ID: "subnet-b", CIDR: cidr("10.20.2.0/24"), AZ: "az-b", RouteTable: "rtb-local"},
		},
		RouteTables: []network.RouteTable{
			{ID: "rtb-local"},
			{ID: "rtb-out", Routes: []network.Route{{Dst: cidr("172.31.0.0/16"), Target: "vgw"}}},
		},
		Groups: []network.SecurityGroup{{ID: sgA, Ingress: all(), Egress: all()}, {ID: sgB, Ingress: all(), Egress: all()}},
		Ports: []network.Port{
			{
				ENI: eniA, Host: nodeA, Link: "eth0", MAC: "0a:00:00:00:00:0a", MTU: 9001, Subnet: "subnet-a",
				Primary: addrA(), SourceDestCheck: true, Groups: []string{sgA},
			},
			{
				ENI: eniB, Host: nodeB, Link: "eth0", MAC: "0a:00:00:00:00:0b", MTU: 9001, Subnet: "subnet-b",
				Primary: addrB(), SourceDestCheck: true, Groups: []string{sgB},
			},
		},
	}
}

func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	const reason = "needs root: the test makes network namespaces"
	if strings.Contains(os.Getenv("VPCCHAIN_REQUIRE"), "root") {
		t.Fatal(reason)
	}
	t.Skip(reason)
}

// vpc is a fabric with three hosts, all in namespaces of the test's own.
type vpc struct {
	t      *testing.T
	dir    instance.Dir
	fabric *fabric.Fabric
	plan   network.VPC
	pings  byte
}

func newVPC(t *testing.T, edit func(*fabric.Config, *network.VPC)) *vpc {
	t.Helper()
	v := makeVPC(t, edit)
	must(t, v.fabric.Ready([]string{nodeA, nodeB, outside}, limit))
	return v
}

// makeVPC leaves it to the caller to boot the hosts that edit adds.
func makeVPC(t *testing.T, edit func(*fabric.Config, *network.VPC)) *vpc {
	t.Helper()
	needRoot(t)
	v := &vpc{t: t, dir: instance.Dir(t.TempDir()), plan: basePlan()}
	t.Cleanup(func() { must(t, netns.UnmountBelow(string(v.dir))) })
	must(t, os.Mkdir(v.dir.File("ns"), 0o755))
	for _, host := range []string{nodeA, nodeB, outside} {
		must(t, netns.NewNet(v.dir.Net(host)))
	}
	config := fabric.Config{
		Namespace: v.dir.Router(), HostNS: v.dir.Net,
		External: []fabric.External{{Name: outside, Gateway: "vgw", IP: addrOutside()}},
	}
	if edit != nil {
		edit(&config, &v.plan)
	}
	var err error
	v.fabric, err = fabric.New(config)
	must(t, err)
	t.Cleanup(v.fabric.Close)
	v.apply()
	for host, a := range map[string]instance.Addr{
		nodeA:   instance.InSubnet(addrA(), cidr("10.20.1.0/24")),
		nodeB:   instance.InSubnet(addrB(), cidr("10.20.2.0/24")),
		outside: {Prefix: netip.PrefixFrom(addrOutside(), 32)},
	} {
		must(t, instance.Boot(v.dir, host, a, false))
	}
	return v
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (v *vpc) apply() {
	v.t.Helper()
	must(v.t, v.fabric.Apply(v.plan))
}

func (v *vpc) in(host string, f func() error) {
	v.t.Helper()
	must(v.t, netns.Do(v.dir.Net(host), f))
}

// own gives host an address of which the VPC knows nothing.
func (v *vpc) own(host string, a netip.Addr) {
	v.t.Helper()
	v.in(host, func() error {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		return netlink.AddrAdd(lo, &netlink.Addr{IPNet: &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(32, 32)}})
	})
}

// records are the refused packets without the time, which no test knows.
func (v *vpc) records() []fabric.Refused {
	v.t.Helper()
	out, err := v.fabric.Refused()
	must(v.t, err)
	for i := range out {
		if age := time.Since(out[i].Last); age < -2*time.Second || age > time.Minute {
			v.t.Errorf("a packet of this test is recorded %s ago", age)
		}
		out[i].Last = time.Time{}
	}
	return out
}

// refused waits until exactly want is on record, and clears the record.
func (v *vpc) refused(want ...fabric.Refused) {
	v.t.Helper()
	for end := time.Now().Add(limit); ; time.Sleep(2 * time.Millisecond) {
		diff := cmp.Diff(append([]fabric.Refused{}, want...), v.records(), cmp.Comparer(func(a, b netip.Addr) bool { return a == b }))
		if diff == "" {
			break
		}
		if time.Now().After(end) {
			v.t.Fatalf("refused packets (-want +got):\n%s", diff)
		}
	}
	must(v.t, v.fabric.ResetRefused())
}
