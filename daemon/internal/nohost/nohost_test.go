package nohost

import (
	"testing"

	"github.com/vpcchain/vpcchain/daemon/internal/engine"
	"github.com/vpcchain/vpcchain/daemon/internal/hostnet"
	"github.com/vpcchain/vpcchain/daemon/internal/server"
)

var (
	_ engine.Host = Host{}
	_ server.NAT  = NAT{}
)

func TestEveryLinkIsReady(t *testing.T) {
	obs, err := Host{}.Sync(t.Context(), hostnet.Desired{MTU: 1500, ENIs: []hostnet.ENI{{ID: "eni-0"}, {ID: "eni-1", Device: 1, MTU: 9001}}})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]hostnet.Link{
		"eni-0": {Name: "eth0", Index: 1, MTU: 1500, Ready: true}, "eni-1": {Name: "eth1", Index: 2, MTU: 9001, Ready: true},
	}
	for id, l := range want {
		if obs.ENIs[id] != l {
			t.Errorf("%s has %+v, want %+v", id, obs.ENIs[id], l)
		}
	}
	if obs.Primary != want["eni-0"] {
		t.Errorf("the primary link is %+v", obs.Primary)
	}
}
