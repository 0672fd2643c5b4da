package hostnet

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// checkedNode is a node with a secondary ENI and a pod on it, as Sync leaves it.
func checkedNode() (Desired, kernel) {
	pod := netip.MustParseAddr("10.0.0.20")
	d := Desired{
		Primary: netip.MustParseAddr("10.0.0.5"), PrimaryMAC: "02:00:00:00:00:01",
		ENIs: []ENI{{ID: "eni-2", MAC: "02:00:00:00:00:02", Device: 1, Primary: netip.MustParseAddr("10.0.0.9"), Subnet: netip.MustParsePrefix("10.0.0.0/24")}},
		From: []From{{vpcnet.Host(pod), 2}}, Pods: []Pod{{pod, "eniabc"}},
	}
	eth1 := link{Index: 2, Name: "eth1", MAC: "02:00:00:00:00:02", Up: true, Kind: "device"}
	k := kernel{
		links: []link{
			{Index: 1, Name: "eth0", MAC: "02:00:00:00:00:01", Up: true, Kind: "device"},
			eth1,
			{Index: 3, Name: "eniabc", Alias: "vpc/c1/eth0", Up: true, Kind: "veth"},
		},
		addrs:   []addr{{Link: 2, Prefix: netip.MustParsePrefix("10.0.0.9/24"), Global: true}},
		routes:  eniRoutes(d.ENIs[0], eth1),
		rules:   desiredRules(d),
		sysctls: map[string]string{ipForward: "1", rpFilter("eth0"): "2"},
	}
	k.routes = append(k.routes, route{
		Table: vpcnet.TablePods, Dst: vpcnet.Host(pod), Link: 3, Dev: "eniabc", Src: d.Primary, Scope: scopeLink, Protocol: vpcnet.RouteProtocol, Type: typeUnicast, Plain: true,
	})
	return d, k
}

func TestCheck(t *testing.T) {
	from := func(text string) rule { return fromRule(vpcnet.RuleFrom, netip.MustParsePrefix(text), 2) }
	for name, tc := range map[string]struct {
		change func(d *Desired, k *kernel)
		want   []string
	}{
		"as promised":   {func(*Desired, *kernel) {}, nil},
		"sysctl":        {func(_ *Desired, k *kernel) { k.sysctls[ipForward] = "0" }, []string{"sysctl net/ipv4/ip_forward"}},
		"no rules":      {func(_ *Desired, k *kernel) { k.rules = nil }, []string{"rule 512", "rule 1536", "rule 32765"}},
		"no routes":     {func(_ *Desired, k *kernel) { k.routes = nil }, []string{"table 2", "table 2", "pod route 10.0.0.20/32"}},
		"alias":         {func(_ *Desired, k *kernel) { k.links[2].Alias = "" }, []string{"host veth eniabc"}},
		"veth is gone":  {func(_ *Desired, k *kernel) { k.links = k.links[:2] }, []string{"host veth eniabc"}},
		"veth is down":  {func(_ *Desired, k *kernel) { k.links[2].Up = false }, []string{"host veth eniabc"}},
		"foreign route": {func(_ *Desired, k *kernel) { k.routes[2].Protocol = 3 }, []string{"table 5120"}},
		"a pod that nobody knew, without a route": {func(d *Desired, k *kernel) { d.Pods, k.routes = nil, k.routes[:2] }, []string{"pod route by eniabc"}},
		"adjacent rules, not merged yet": {func(d *Desired, k *kernel) {
			d.From = append(d.From, From{netip.MustParsePrefix("10.0.0.21/32"), 2})
			k.rules = append(k.rules, from("10.0.0.21/32"))
		}, nil},
		"an adjacent rule is missing":     {func(d *Desired, _ *kernel) { d.From = append(d.From, From{netip.MustParsePrefix("10.0.0.21/32"), 2}) }, []string{"rule 1536"}},
		"a rule of a pod that came since": {func(d *Desired, _ *kernel) { d.From = nil }, nil},
		"a rule of nobody":                {func(_ *Desired, k *kernel) { k.rules = append(k.rules, from("10.0.0.99/32")) }, []string{"rule 1536"}},
	} {
		t.Run(name, func(t *testing.T) {
			d, k := checkedNode()
			tc.change(&d, &k)
			var got []string
			for _, f := range check(d, k) {
				got = append(got, f.Object)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s\n%v", diff, check(d, k))
			}
		})
	}
}

func TestWanted(t *testing.T) {
	dir := t.TempDir()
	if _, err := Wanted(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a Sync: %v", err)
	}
	d, _ := checkedNode()
	h := &Host{stateDir: dir}
	h.remember(d)
	got, err := Wanted(dir)
	if err != nil || got.String() != d.String() {
		t.Errorf("%v\n%s", err, got)
	}
	// The same again is not written again.
	path := filepath.Join(dir, WantedFile)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	h.remember(d)
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("written again: %v", err)
	}
	d.Pods = nil
	h.remember(d)
	if got, err := Wanted(dir); err != nil || len(got.Pods) != 0 {
		t.Errorf("%v\n%s", err, got)
	}
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Wanted(dir); err == nil {
		t.Error("half a file is read")
	}
}
