package cli_test

import (
	"strings"
	"testing"

	"github.com/vpcchain/vpcchain/integration/vpcsim/fabric"
	"github.com/vpcchain/vpcchain/integration/vpcsim/topology"
)

const website = "http://52.78.83.169/"

func TestInternet(t *testing.T) {
	t.Parallel()
	s := up(t)
	for host, public := range map[string]string{"node-a": "54.70.11.162", "node-b": "54.70.12.45", "nat-a": "54.70.14.10"} {
		if got := s.client(host, "http", "GET", website); got != "200 hello "+public+"\n" {
			t.Errorf("%s at the web host: %q, want hello %s", host, got, public)
		}
	}
	if got := decode[[]fabric.Refused](s, "drops"); len(got) != 0 {
		t.Errorf("drops: %+v, want none: a reply needs no ingress rule", got)
	}
	s.client("web", "udp", "54.70.11.162:5353")
	s.dropped("node-a udp 52.78.83.169 10.20.11.162", "security group: ingress")
	s.client("web", "udp", "10.20.11.162:5353")
	s.dropped("web udp 52.78.83.169 10.20.11.162", "internet gateway: the destination")

	if got := s.must("topology"); !strings.Contains(got, "nat-a") || !strings.Contains(got, "public 54.70.14.10") {
		t.Errorf("the topology lacks the NAT gateway:\n%s", got)
	}
	topo := decode[struct{ Topology topology.Topology }](s, "topology").Topology
	if len(topo.NATGateways) != 1 || topo.NATGateways[0].Name != "nat-a" || topo.InternetGateway != "igw" {
		t.Errorf("the topology in JSON: %+v", topo)
	}
}

// dropped expects the one refused packet, and forgets it. Packets that the
// kernel dropped are on record when their sender's program has ended.
func (s *sim) dropped(want, reason string) {
	s.t.Helper()
	got := decode[[]fabric.Refused](s, "drops", "--reset")
	if len(got) != 1 {
		s.t.Fatalf("drops: %+v, want one of %s", got, want)
	}
	d := got[0]
	text := strings.Join([]string{d.Host, d.Protocol, d.Source.String(), d.Dest.String()}, " ")
	if text != want || !strings.HasPrefix(d.Reason, reason) {
		s.t.Errorf("dropped: %+v, want %s, %s", d, want, reason)
	}
}

// A CIDR of the VPC is local: it wins over the internet gateway's default route,
// and IMDS knows it.
func TestCIDRsChange(t *testing.T) {
	t.Parallel()
	s := up(t)
	const addr = "10.30.0.5:5353"
	blocks := func() string {
		t.Helper()
		token, _ := strings.CutPrefix(s.client("node-a", "http", "PUT", imds+"api/token", "X-aws-ec2-metadata-token-ttl-seconds=60"), "200 ")
		header := "X-aws-ec2-metadata-token=" + token
		mac, _ := strings.CutPrefix(s.client("node-a", "http", "GET", imds+"meta-data/mac", header), "200 ")
		return s.client("node-a", "http", "GET", imds+"meta-data/network/interfaces/macs/"+mac+"/vpc-ipv4-cidr-blocks", header)
	}
	for _, step := range []struct {
		cidrs  []string
		reason string
	}{
		{[]string{"10.20.0.0/16", "100.64.0.0/16"}, "no route"},
		{[]string{"10.20.0.0/16", "100.64.0.0/16", "10.30.0.0/16"}, "no such address"},
		{[]string{"10.20.0.0/16", "100.64.0.0/16"}, "no route"},
	} {
		s.must(append([]string{"cidrs"}, step.cidrs...)...)
		s.client("node-a", "udp", addr)
		s.dropped("node-a udp 10.20.11.162 10.30.0.5", step.reason)
		if got, want := blocks(), "200 "+strings.Join(step.cidrs, "\n"); got != want {
			t.Errorf("IMDS: %q, want %q", got, want)
		}
		if got := s.client("node-a", "http", "GET", website); got != "200 hello 54.70.11.162\n" {
			t.Errorf("the web host with CIDRs %v: %q", step.cidrs, got)
		}
	}
	s.fails("subnet-pod-a", "cidrs", "10.20.0.0/16")
}
