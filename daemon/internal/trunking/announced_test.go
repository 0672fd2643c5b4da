package trunking_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/vpcchain/vpcchain/daemon/internal/branch"
	"github.com/vpcchain/vpcchain/daemon/internal/trunking"
	"github.com/vpcchain/vpcchain/pkg/ipamapi"
)

// controller stands in for the VPC resource controller.
type controller struct {
	t *testing.T
	*sdk.Client
}

func (w *world) controller() controller {
	return controller{w.t, sdk.New(sdk.Options{
		Region: "us-west-2", HTTPClient: w.sim.Client(), BaseEndpoint: aws.String("http://ec2.invalid"),
		Credentials: credentials.NewStaticCredentialsProvider("id", "secret", ""),
	})}
}

func (c controller) create(kind types.NetworkInterfaceCreationType) *types.NetworkInterface {
	c.t.Helper()
	out, err := c.CreateNetworkInterface(context.Background(), &sdk.CreateNetworkInterfaceInput{SubnetId: aws.String("subnet-a"), InterfaceType: kind, Groups: []string{"sg-c"}})
	if err != nil {
		c.t.Fatal(err)
	}
	return out.NetworkInterface
}

// trunk makes the trunk and attaches it.
func (c controller) trunk() *string {
	c.t.Helper()
	id := c.create(types.NetworkInterfaceCreationTypeTrunk).NetworkInterfaceId
	if _, err := c.AttachNetworkInterface(context.Background(), &sdk.AttachNetworkInterfaceInput{
		NetworkInterfaceId: id, InstanceId: aws.String("i-0123"), DeviceIndex: aws.Int32(2),
	}); err != nil {
		c.t.Fatal(err)
	}
	return id
}

// branch makes a branch with the VLAN id and returns its annotation.
func (c controller) branch(trunk *string, vlan int32) map[string]string {
	c.t.Helper()
	e := c.create(types.NetworkInterfaceCreationTypeBranch)
	if _, err := c.AssociateTrunkInterface(context.Background(), &sdk.AssociateTrunkInterfaceInput{
		TrunkInterfaceId: trunk, BranchInterfaceId: e.NetworkInterfaceId, VlanId: &vlan,
	}); err != nil {
		c.t.Fatal(err)
	}
	raw, err := json.Marshal([]map[string]any{{
		"eniId": e.NetworkInterfaceId, "ifAddress": e.MacAddress, "privateIp": e.PrivateIpAddress, "vlanId": vlan, "subnetCidr": "10.20.0.0/20",
	}})
	if err != nil {
		c.t.Fatal(err)
	}
	return map[string]string{ipamapi.AnnotationPodENI: string(raw), ipamapi.AnnotationGroups: "sg-c"}
}

func (l *life) announce(id string, annotations map[string]string, wait time.Duration) (trunking.Given, error) {
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	return l.AssignBranch(ctx, att(id), podOf(id), annotations)
}

// The controller's branches are taken as they come, and left to it.
func TestAnnounced(t *testing.T) {
	inVPC(t, "m5.large", nil, func(w *world) {
		c, l := w.controller(), w.start()
		pass(time.Minute)
		lonely := map[string]string{ipamapi.AnnotationPodENI: `[{"eniId":"eni-1","ifAddress":"02:00:00:00:00:09","privateIp":"10.20.0.99","vlanId":9,"subnetCidr":"10.20.0.0/20"}]`}
		_, err := l.announce("a", lonely, 5*time.Second)
		wantErr(t, err, trunking.ErrNoBranch, "ns/a", "no trunk ENI", "VPC resource controller")
		_, err = l.announce("a", map[string]string{ipamapi.AnnotationPodENI: "{}"}, 5*time.Second)
		wantErr(t, err, branch.ErrBadWish, "ns/a", "pod-eni")
		if len(w.trunks()) != 0 {
			t.Error("a trunk was made beside the controller's")
		}

		// The trunk comes; the first pod needs no minute until IMDS is read.
		trunk := c.trunk()
		wish := c.branch(trunk, 4000)
		pass(15 * time.Second)
		got, err := l.announce("a", wish, 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		e := w.branches()[got.ENI]
		if got.VLAN != 4000 || got.MAC != e.MAC || got.Addr != e.Primary || got.Carrier.ID != *trunk || !got.Announced {
			t.Errorf("given %+v", got)
		}
		if err := l.Check(att("a"), got.Addr.String()); err != nil {
			t.Error(err)
		}
		w.sim.ResetCalls()
		again, err := l.announce("a", wish, time.Second)
		if err != nil || again.ENI != got.ENI {
			t.Errorf("the second ADD: %+v, %v", again, err)
		}
		// A new sandbox of the pod has the same annotation; the DEL of the old one is late.
		if _, err := l.announce("a2", wish, time.Second); err != nil {
			t.Error(err)
		}
		l.del("a")
		if err := l.Check(att("a2"), got.Addr.String()); err != nil {
			t.Errorf("after a late DEL: %v", err)
		}
		w.kill()
		l = w.start()
		if err := l.Check(att("a2"), got.Addr.String()); err != nil {
			t.Errorf("after a restart: %v", err)
		}
		if n, err := l.Collect("vpc", nil); n != 1 || err != nil {
			t.Errorf("GC released %d, %v", n, err)
		}
		pass(time.Hour)
		if len(w.branches()) != 1 || len(l.View().Branches.Branches) != 0 {
			t.Errorf("in EC2 %v, in the books %v", w.branches(), l.View().Branches.Branches)
		}
	})
}

// Both ways on one trunk: the controller's VLAN ids are left alone.
func TestBesideTheController(t *testing.T) {
	inVPC(t, "m5.large", nil, func(w *world) {
		c := w.controller()
		trunk := c.trunk()
		wish := c.branch(trunk, 1)
		l := w.start()
		pass(time.Second)
		if got := l.mustAdd("own", "sg-a"); got.VLAN != 2 || got.Carrier.ID != *trunk {
			t.Errorf("VLAN %d on %s", got.VLAN, got.Carrier.ID)
		}
		if got, err := l.announce("other", wish, time.Second); err != nil || got.VLAN != 1 {
			t.Errorf("%+v, %v", got, err)
		}
		// An id that the controller takes unseen is found out by EC2's refusal.
		pass(time.Minute)
		c.branch(trunk, 4)
		if got := l.mustAdd("b", "sg-b"); got.VLAN == 4 || w.branches()[got.ENI].VLAN != got.VLAN {
			t.Errorf("VLAN %d", got.VLAN)
		}
	})
}
