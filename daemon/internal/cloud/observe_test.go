package cloud

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/integration/vpcsim/ec2"
)

// heard is an Observer that writes down what it hears.
type heard struct{ lines []string }

func (h *heard) Attempt(api, code string, took time.Duration, throttled bool) {
	h.lines = append(h.lines, fmt.Sprintf("%s %q took %s, throttled: %t", api, code, took, throttled))
}

func (h *heard) Call(api, code string) {
	h.lines = append(h.lines, fmt.Sprintf("%s ends with %q", api, code))
}

// Each request is heard with its own time, without waits for a turn and between
// repetitions, and each call once.
func TestObserver(t *testing.T) {
	var h heard
	slow := func(context.Context, string) error { time.Sleep(3 * time.Second); return nil }
	onNodeA(t, Options{Observer: &h, Gate: slow}, func(n node) {
		n.sim.Fault(ec2.Fault{Action: "CreateNetworkInterface", Code: "RequestLimitExceeded", Count: 2})
		_, err := n.c.Create(n.t.Context(), eni.CreateSpec{SubnetID: "subnet-a"})
		check(n.t, err)
		if _, err := n.c.Create(n.t.Context(), eni.CreateSpec{SubnetID: "subnet-tiny", Addresses: 11}); err == nil {
			n.t.Error("more addresses than the subnet has")
		}
	})
	want := []string{
		`CreateNetworkInterface "RequestLimitExceeded" took 0s, throttled: true`,
		`CreateNetworkInterface "RequestLimitExceeded" took 0s, throttled: true`,
		`CreateNetworkInterface "" took 0s, throttled: false`,
		`CreateNetworkInterface ends with ""`,
		`DescribeSubnets "" took 0s, throttled: false`,
		`DescribeSubnets ends with ""`,
		`CreateNetworkInterface "InsufficientFreeAddressesInSubnet" took 0s, throttled: false`,
		`CreateNetworkInterface ends with "InsufficientFreeAddressesInSubnet"`,
	}
	if d := cmp.Diff(want, h.lines); d != "" {
		t.Errorf("heard (-want +got):\n%s", d)
	}
}

// EC2's counts of free addresses are kept with their time.
func TestRooms(t *testing.T) {
	onNodeA(t, Options{}, func(n node) {
		if got := n.c.Rooms(); len(got) != 0 {
			n.t.Errorf("before EC2 was asked: %v", got)
		}
		time.Sleep(time.Hour)
		me, err := n.c.Node(n.t.Context())
		check(n.t, err)
		found, err := n.c.Subnets(n.t.Context(), me.VPCID, me.AZ)
		check(n.t, err)
		want := map[string]int{}
		for _, s := range found {
			want[s.ID] = s.Free
		}
		asked := time.Now()
		time.Sleep(time.Hour)
		got := map[string]int{}
		for _, r := range n.c.Rooms() {
			if got[r.ID] = r.Free; !r.Asked.Equal(asked) {
				n.t.Errorf("%s was asked at %s, not at %s", r.ID, r.Asked, asked)
			}
		}
		if d := cmp.Diff(want, got); d != "" || len(got) == 0 {
			n.t.Errorf("free addresses (-want +got):\n%s", d)
		}
	})
}
