package ec2

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/vpcchain/vpcchain/integration/vpcsim/network"
	"github.com/vpcchain/vpcchain/integration/vpcsim/topology"
)

func newSim(t *testing.T) *Sim {
	t.Helper()
	s, err := New(topology.Default())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestPublicSides(t *testing.T) {
	t.Parallel()
	got := map[string]string{}
	for _, p := range newSim(t).Network().Ports {
		if public, ok := p.PublicIPs[p.Primary]; ok {
			got[p.Host] = public.String()
		}
		if nat := p.Host == "nat-a"; p.NATGateway != nat || p.SourceDestCheck == nat || (len(p.Groups) == 0) != nat {
			t.Errorf("port %+v", p)
		}
	}
	if len(got) != 3 || got["node-a"] != "54.70.11.162" || got["node-b"] != "54.70.12.45" || got["nat-a"] != "54.70.14.10" {
		t.Errorf("public addresses: %v", got)
	}
}

func TestSetCIDRs(t *testing.T) {
	t.Parallel()
	s := newSim(t)
	var plan network.VPC
	s.OnChange(func(v network.VPC) error { plan = v; return nil })
	prefixes := func(texts ...string) (out []netip.Prefix) {
		for _, text := range texts {
			out = append(out, netip.MustParsePrefix(text))
		}
		return out
	}
	for _, bad := range [][]netip.Prefix{
		nil, prefixes("10.20.0.0/16"), prefixes("10.20.0.0/16", "100.64.0.0/16", "100.64.32.0/20"),
		prefixes("10.20.0.0/16", "100.64.0.0/16", "fd00::/16"),
	} {
		if err := s.SetCIDRs(bad); err == nil || plan.CIDRs != nil {
			t.Errorf("SetCIDRs(%v): %v, plan %v; want it refused", bad, err, plan.CIDRs)
		}
	}
	want := prefixes("10.20.0.0/16", "100.64.0.0/16", "10.30.0.0/16")
	if err := s.SetCIDRs(want); err != nil || !slices.Equal(plan.CIDRs, want) {
		t.Errorf("SetCIDRs: %v, plan %v", err, plan.CIDRs)
	}
	for path, text := range s.tree(s.instances[topology.Default().Instances[0].ID]) {
		if strings.HasSuffix(path, "/vpc-ipv4-cidr-blocks") && text != "10.20.0.0/16\n100.64.0.0/16\n10.30.0.0/16" {
			t.Errorf("%s: %q", path, text)
		}
	}
}
