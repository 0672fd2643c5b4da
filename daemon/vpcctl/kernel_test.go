package main

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpcchain/vpcchain/daemon/internal/check"
	"github.com/vpcchain/vpcchain/daemon/internal/hostnet"
	"github.com/vpcchain/vpcchain/pkg/nodefacts"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// Which ENI an address is of by the daemon's last word.
func TestHomesOf(t *testing.T) {
	got := homesOf(hostnet.Desired{
		ENIs: []hostnet.ENI{{ID: "eni-0", MAC: "m0", Primary: address(t, "10.0.0.5")}, {ID: "eni-1", MAC: "m1", Device: 1, Primary: address(t, "10.0.0.9")}},
		From: []hostnet.From{{Prefix: netip.MustParsePrefix("10.0.1.0/28"), Table: 2}, {Prefix: netip.MustParsePrefix("10.0.0.20/32"), Table: vpcnet.TableMain}},
	})
	want := "[{10.0.0.5/32 m0} {10.0.0.20/32 m0} {10.0.0.9/32 m1} {10.0.1.0/28 m1}]"
	if fmt.Sprint(got) != want {
		t.Errorf("%v, want %s", got, want)
	}
}

func TestKernelCommandLines(t *testing.T) {
	for line, want := range map[string]int{
		"explain --help": 0, "check --help": 0, "check now": exitUsage, "check --fixed": exitUsage, "explain --fix a b": exitUsage, "explain 10.0.0.1": exitUsage,
	} {
		var out bytes.Buffer
		code, err := run(t.Context(), strings.Fields(line), func(string) string { return "" }, &out)
		if code != want || (err != nil) != (want != 0) || want == 0 && out.Len() == 0 {
			t.Errorf("%s: exit code %d, %v, %q", line, code, err, out.String())
		}
	}
}

// Rules are wanted for single addresses that are not free, of ENIs that are set up;
// routes for those that pods have.
func TestHeldOf(t *testing.T) {
	used := addressView{Address: "10.0.0.20", State: "used", Network: "vpc", ContainerID: "c", IfName: "eth0"}
	prefixed := used
	prefixed.Address, prefixed.ContainerID = "10.0.1.3", "d"
	h := heldOf(view{
		ENIs: []eniView{{
			Table: 2, Ready: true, Prefixes: []prefixView{{Prefix: "10.0.1.0/28"}},
			Addresses: []addressView{used, prefixed, {Address: "10.0.0.21", State: "cooling"}, {Address: "10.0.0.22", State: "free"}},
		}},
		Lost: []addressView{{Address: "10.0.0.7", Note: "gone", Network: "vpc", ContainerID: "e", IfName: "eth0"}},
	}, nodefacts.Facts{VethPrefix: "eni"})
	want := &check.Held{
		Pods: []check.Pod{
			{Addr: netip.MustParseAddr("10.0.0.20"), Table: 2, HostVeth: vpcnet.HostVethName("eni", "", "", "c", "eth0")},
			{Addr: netip.MustParseAddr("10.0.1.3"), HostVeth: vpcnet.HostVethName("eni", "", "", "d", "eth0")},
			{Addr: netip.MustParseAddr("10.0.0.21"), Table: 2},
		},
		Lost: []string{"10.0.0.7 of vpc/e/eth0: gone"},
	}
	if d := cmp.Diff(want, h, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func address(t *testing.T, text string) netip.Addr {
	t.Helper()
	a, err := netip.ParseAddr(text)
	if err != nil {
		t.Fatal(err)
	}
	return a
}
