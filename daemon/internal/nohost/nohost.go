// Package nohost stands in for the node's kernel where there is none to write
// to: vpc-ipamd with -no-host, a process without rights beside a simulated EC2.
// Every ENI's link is there at once, and nothing is routed.
package nohost

import (
	"context"
	"net/netip"
	"strconv"

	"github.com/vpcchain/vpcchain/daemon/internal/hostnet"
	"github.com/vpcchain/vpcchain/pkg/snat"
)

// Host says that the kernel is as desired.
type Host struct{}

// Sync finds every link ready, with the MTU that it is to have.
func (Host) Sync(_ context.Context, d hostnet.Desired) (hostnet.Observed, error) {
	obs := hostnet.Observed{Primary: link(0, d.MTU), ENIs: map[string]hostnet.Link{}}
	for _, e := range d.ENIs {
		mtu := d.MTU
		if e.MTU != 0 {
			mtu = e.MTU
		}
		obs.ENIs[e.ID] = link(e.Device, mtu)
	}
	return obs, nil
}

// link is named as EC2's devices are.
func link(device, mtu int) hostnet.Link {
	return hostnet.Link{Name: "eth" + strconv.Itoa(device), Index: device + 1, MTU: mtu, Ready: true}
}

// EnsureFrom has no rule to add.
func (Host) EnsureFrom(netip.Prefix, int) error { return nil }

// Watch has no news.
func (Host) Watch(context.Context) (<-chan struct{}, error) { return make(chan struct{}), nil }

// NAT is the keeping of no outbound NAT.
type NAT struct{}

// Wish is that of a node where vpc-snat never ran.
func (NAT) Wish() (snat.Wish, error) { return snat.Wish{}, nil }

// Repairs were never needed.
func (NAT) Repairs() uint64 { return 0 }

// Trouble there is none.
func (NAT) Trouble() string { return "" }
