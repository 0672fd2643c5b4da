package hostnet

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"github.com/vpcchain/vpcchain/pkg/procsys"
)

// What somebody else has changed is counted by kind; what the daemon itself wants
// otherwise now is no damage, nor is the link of a new ENI that comes late.
func TestHealsAreCounted(t *testing.T) {
	h, d := nodeWith3(t)
	late := linkNamed(t, "eth1")
	must(t, netlink.LinkDel(late))
	want := func(what string, repaired bool, healed map[string]int) {
		t.Helper()
		obs := syncOK(t, h, d)
		if got := len(obs.Repaired) > 0; got != repaired {
			t.Errorf("%s: repaired %q", what, obs.Repaired)
		}
		if healed == nil {
			healed = map[string]int{}
		}
		if diff := cmp.Diff(healed, obs.Healed); diff != "" {
			t.Errorf("%s: healed (-want +got):\n%s", what, diff)
		}
	}
	want("the first look", true, nil)
	want("nothing changed", false, nil)
	addENI(t, "eth1", mac1)
	want("the link of an ENI has come", true, nil)
	d.From = append(d.From, From{prefixOf("10.20.11.77/32"), 2})
	want("another address", true, nil)

	must(t, netlink.RuleDel(ruleOf(512, "", 5120, 0)))
	want("a rule was deleted", true, map[string]int{"rule": 1})
	must(t, netlink.LinkSetDown(linkNamed(t, "eth1")))
	want("a link was set down", true, map[string]int{"link": 1, "route": 2})
	must(t, procsys.Write(ipForward, "0"))
	must(t, netlink.RuleDel(ruleOf(1536, "10.20.11.77/32", 2, 0)))
	d.From = append(d.From, From{prefixOf("10.20.11.90/32"), 2})
	want("damage beside a change", true, map[string]int{"rule": 1, "sysctl": 1})
	d.From = d.From[:len(d.From)-2]
	want("addresses went", true, nil)
}
