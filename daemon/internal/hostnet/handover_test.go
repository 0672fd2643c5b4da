package hostnet

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// The stock CNI's form is complete before anything of ours goes, and the aliases
// go last.
func TestPlanHandOver(t *testing.T) {
	d, k := twoENIs()
	k.links[3].Alias = "vpc/c1/eth0"
	k = follow(k, diff(d, k))
	steps, err := planHandOver(k)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"route replace 10.20.11.1/32 dev eth1 table 2 scope link proto 3",
		"route replace default via 10.20.11.1 dev eth1 table 2 proto 3",
		"route replace 10.20.11.40/32 dev eni0123 table 254 scope link proto 3",
		"rule add 512: from all to 10.20.11.40/32 lookup 254 proto 0",
		"rule add 1536: from 10.20.11.40/32 lookup 2 proto 0",
		"rule add 1535: from all to 192.0.2.0/24 lookup 254 proto 0",
		"rule add 32765: from 10.20.11.5/32 lookup 2 proto 0",
		"rule del 512: from all lookup 5120 proto 86",
		"rule del 1535: from all to 192.0.2.0/24 lookup 254 proto 86",
		"rule del 1536: from 10.20.11.40/31 lookup 2 proto 86",
		"rule del 32765: from 10.20.11.5/32 lookup 2 proto 86",
		"route del 10.20.11.40/32 dev eni0123 table 5120 scope link src 10.20.11.162 proto 86",
		`link set eni0123 alias "vpc/c1/eth0" -> none`,
	}
	if diff := cmp.Diff(want, texts(planned{steps: steps})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestPlanHandOverRefusesBranches(t *testing.T) {
	for name, change := range map[string]func(*kernel){
		"link": func(k *kernel) {
			k.links = append(k.links, link{Index: 9, Name: vpcnet.BranchLink(7), Kind: "vlan", Alias: "vpc/c2/eth0"})
		},
		"rule": func(k *kernel) {
			k.rules = append(k.rules, rule{Priority: vpcnet.RuleFrom, Src: prefixOf("10.20.12.9/32"), Table: vpcnet.TableBranch(7), Protocol: vpcnet.RouteProtocol, Plain: true})
		},
	} {
		_, k := twoENIs()
		change(&k)
		if steps, err := planHandOver(k); err == nil || len(steps) > 0 {
			t.Errorf("a %s of a branch ENI: %v, %v", name, steps, err)
		}
	}
}
