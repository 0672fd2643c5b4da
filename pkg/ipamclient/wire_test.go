package ipamclient

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/vpcchain/vpcchain/pkg/ipamapi"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

func att(n, c, i string) (vpcnet.Attachment, *ipamapi.Attachment) {
	return vpcnet.Attachment{Network: n, ContainerID: c, IfName: i}, &ipamapi.Attachment{Network: n, ContainerId: c, Ifname: i}
}

// FuzzRequests compares each request with the one of the generated code.
func FuzzRequests(f *testing.F) {
	f.Add("vpc", "c1", "eth0", "default", "web-0", "u-1", "/run/netns/x", "key", "value")
	f.Add("", "", "", "", "", "", "", "", "")
	f.Add("vpc", "c1", "eth0", "", "", "", "", "vpc.amazonaws.com/pod-eni", "")
	f.Fuzz(func(t *testing.T, network, container, ifname, ns, name, uid, netns, key, value string) {
		a, pa := att(network, container, ifname)
		b, pb := att(ifname, network, container)
		annotations := map[string]string{key: value, "another": key}
		for _, r := range []struct {
			sent      []byte
			got, want proto.Message
		}{
			{
				encodeAssign(Request{Attachment: a, Pod: Pod{Namespace: ns, Name: name, UID: uid}, Netns: netns, Annotations: annotations}),
				&ipamapi.AssignRequest{}, &ipamapi.AssignRequest{Attachment: pa, Pod: &ipamapi.Pod{Namespace: ns, Name: name, Uid: uid}, Netns: netns, Annotations: annotations},
			},
			{encodeAssign(Request{Attachment: a}), &ipamapi.AssignRequest{}, &ipamapi.AssignRequest{Attachment: pa, Pod: &ipamapi.Pod{}}},
			{encodeRelease(a), &ipamapi.ReleaseRequest{}, &ipamapi.ReleaseRequest{Attachment: pa}},
			{encodeCheck(a, netns), &ipamapi.CheckRequest{}, &ipamapi.CheckRequest{Attachment: pa, Address: netns}},
			{encodeCollect(network, nil), &ipamapi.CollectRequest{}, &ipamapi.CollectRequest{Network: network}},
			{encodeCollect(network, []vpcnet.Attachment{a, b}), &ipamapi.CollectRequest{}, &ipamapi.CollectRequest{Network: network, Valid: []*ipamapi.Attachment{pa, pb}}},
		} {
			if _, err := proto.Marshal(r.want); err != nil {
				continue // not UTF-8: the server refuses it
			}
			if err := proto.Unmarshal(r.sent, r.got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(r.want, r.got, protocmp.Transform()); diff != "" {
				t.Errorf("another request (-want +got):\n%s", diff)
			}
		}
	})
}

// FuzzReplies compares what is read with what the generated code reads, of any
// bytes: of another version of the contract, and of nonsense.
func FuzzReplies(f *testing.F) {
	full := &ipamapi.AssignReply{
		Address: "10.20.11.7", Subnet: "10.20.11.0/24", Gateway: "10.20.11.1",
		Eni:    &ipamapi.ENI{Id: "eni-1", Mac: "02:00:00:00:00:01", Mtu: 9001, Device: 3, Card: 1},
		Branch: &ipamapi.Branch{Id: "eni-2", Mac: "02:00:00:00:00:02", VlanId: 4094},
	}
	for _, m := range []proto.Message{
		full, &ipamapi.AssignReply{}, &ipamapi.AssignReply{Branch: &ipamapi.Branch{}}, &ipamapi.StatusReply{State: ipamapi.StatusReply_STATE_LIMITED, Reason: "ä"},
		&ipamapi.StatusReply{State: -1}, &ipamapi.PoolReply{Enis: []*ipamapi.PoolENI{{Eni: full.Eni}}},
	} {
		raw, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
		f.Add(append(raw, raw...)) // messages of a field merge
	}
	f.Add([]byte("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
	f.Add([]byte("\x22\x02\x18"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var assign ipamapi.AssignReply
		var want assignReply
		got, err := decodeAssign(raw)
		perr := proto.Unmarshal(raw, &assign)
		if e, b := assign.GetEni(), assign.GetBranch(); perr == nil {
			want = assignReply{address: assign.GetAddress(), subnet: assign.GetSubnet(), gateway: assign.GetGateway(), eni: eni{id: e.GetId(), mac: e.GetMac(), mtu: e.GetMtu()}}
			if b != nil {
				want.branch = &branchENI{id: b.GetId(), mac: b.GetMac(), vlan: b.GetVlanId()}
			}
		}
		same(t, got, want, err, perr)
		var status ipamapi.StatusReply
		st, err := decodeStatus(raw)
		perr = proto.Unmarshal(raw, &status)
		same(t, st, statusReply{state: uint32(status.GetState()), reason: status.GetReason()}, err, perr)
	})
}

// same compares the readings. Groups, of before proto3, are refused here and
// skipped there.
func same[T any](t *testing.T, got, want T, err, perr error) {
	t.Helper()
	if errors.Is(err, errGroup) || err != nil && perr != nil {
		return
	}
	if (err == nil) != (perr == nil) {
		t.Fatalf("%v; the generated code says %v", err, perr)
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(assignReply{}, eni{}, branchENI{}, statusReply{})); diff != "" {
		t.Errorf("another reading (-want +got):\n%s", diff)
	}
}
