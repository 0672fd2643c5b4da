package main

import (
	"testing"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/google/go-cmp/cmp"

	"github.com/vpcchain/vpcchain/pkg/netconf"
	"github.com/vpcchain/vpcchain/pkg/nodefacts"
	"github.com/vpcchain/vpcchain/pkg/sgpp"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

const announcement = `{"cniVersion":"1.0.0","name":"vpc","prevResult":{"cniVersion":"1.0.0","interfaces":[
	{"name":"eni0123456789a"},{"name":"eth0","sandbox":"/run/netns/a"},{"name":"eni-0trunk","mac":"02:00:00:00:06:01"},
	{"name":"vlan.eth.5","mac":"02:00:00:01:00:0A"}],
	"ips":[{"interface":1,"address":"10.20.64.15/32","gateway":"10.20.64.1"}]}}`

func announcedIn(stdin string) (*announced, error) {
	prev, err := netconf.PrevResult([]byte(stdin))
	if err != nil {
		return nil, err
	}
	return announcedBy(prev, "vpc", &skel.CmdArgs{ContainerID: "c1", IfName: "eth0"})
}

func TestAnnounced(t *testing.T) {
	got, err := announcedIn(announcement)
	if err != nil || got == nil {
		t.Fatalf("%v, %v", got, err)
	}
	want := sgpp.Branch{
		Attachment: vpcnet.Attachment{Network: "vpc", ContainerID: "c1", IfName: "eth0"}, VLAN: 5, MAC: "02:00:00:01:00:0a",
		Addr: got.branch.Addr, Gateway: got.branch.Gateway, HostVeth: "eni0123456789a",
	}
	if diff := cmp.Diff(want.Attachment, got.branch.Attachment); diff != "" || got.branch != want || got.trunkMAC != "02:00:00:00:06:01" {
		t.Errorf("%+v", got)
	}
	if got.branch.Addr.String() != "10.20.64.15" || got.branch.Gateway.String() != "10.20.64.1" {
		t.Errorf("address %s, router %s", got.branch.Addr, got.branch.Gateway)
	}
}

// Whatever a runtime sends is refused, or a branch that Validate has to judge, or none.
func FuzzAnnounced(f *testing.F) {
	f.Add(announcement)
	f.Add(`{"cniVersion":"0.4.0","prevResult":{"cniVersion":"0.4.0","interfaces":[null,{"name":"vlan.eth.1"}],"ips":[null]}}`)
	f.Add(`{"cniVersion":"1.1.0","prevResult":{"cniVersion":"1.1.0","interfaces":[null,{"name":"vlan.eth.1"}],"ips":[null]}}`)
	f.Add(`{"cniVersion":"1.1.0","prevResult":{"interfaces":[{"name":"eth0","sandbox":"x"},{"name":"vlan.eth.1"}],"ips":[{"interface":-1}]}}`)
	f.Fuzz(func(t *testing.T, stdin string) {
		a, err := announcedIn(stdin)
		if err != nil || a == nil {
			return
		}
		if a.branch.VLAN < 1 || a.branch.VLAN > vpcnet.MaxVLAN || a.branch.HostVeth == "" && a.branch.Validate() == nil {
			t.Errorf("%+v", a)
		}
		a.branch.Mode = nodefacts.ModeStrict
		if a.branch.Validate() == nil && !a.branch.Gateway.Is4() {
			t.Errorf("%+v is valid without a router", a.branch)
		}
	})
}
