package ipamclient

import (
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// Methods of the service, as on the wire.
const (
	methodAssign  = "/vpcchain.ipam.v1.IPAM/Assign"
	methodRelease = "/vpcchain.ipam.v1.IPAM/Release"
	methodCheck   = "/vpcchain.ipam.v1.IPAM/Check"
	methodStatus  = "/vpcchain.ipam.v1.IPAM/Status"
	methodCollect = "/vpcchain.ipam.v1.IPAM/Collect"
)

// States of StatusReply.
const (
	stateUnavailable = 2
	stateLimited     = 3
)

func encodeAttachment(a vpcnet.Attachment) []byte {
	return appendText(appendText(appendText(nil, 1, a.Network), 2, a.ContainerID), 3, a.IfName)
}

func encodeAssign(r Request) []byte {
	pod := appendText(appendText(appendText(nil, 1, r.Pod.Namespace), 2, r.Pod.Name), 3, r.Pod.UID)
	b := appendMessage(nil, 1, encodeAttachment(r.Attachment))
	return appendMap(appendText(appendMessage(b, 2, pod), 3, r.Netns), 4, r.Annotations)
}

func encodeRelease(a vpcnet.Attachment) []byte {
	return appendMessage(nil, 1, encodeAttachment(a))
}

func encodeCheck(a vpcnet.Attachment, addr string) []byte {
	return appendText(encodeRelease(a), 2, addr)
}

func encodeCollect(network string, valid []vpcnet.Attachment) []byte {
	b := appendText(nil, 1, network)
	for _, a := range valid {
		b = appendMessage(b, 2, encodeAttachment(a))
	}
	return b
}

// eni is the ENI of an AssignReply, as far as a plugin needs it.
type eni struct {
	id, mac string
	mtu     uint32
}

// branchENI is the Branch of an AssignReply.
type branchENI struct {
	id, mac string
	vlan    uint32
}

// assignReply is an AssignReply.
type assignReply struct {
	address, subnet, gateway string
	eni                      eni
	branch                   *branchENI // nil: not in the answer
}

func decodeAssign(b []byte) (assignReply, error) {
	var r assignReply
	err := read(b, map[int]target{
		1: {text: &r.address}, 2: {text: &r.subnet}, 3: {text: &r.gateway},
		4: {message: func(b []byte) error {
			return read(b, map[int]target{1: {text: &r.eni.id}, 2: {text: &r.eni.mac}, 3: {number: &r.eni.mtu}})
		}},
		5: {message: func(b []byte) error {
			if r.branch == nil {
				r.branch = &branchENI{}
			}
			return read(b, map[int]target{1: {text: &r.branch.id}, 2: {text: &r.branch.mac}, 3: {number: &r.branch.vlan}})
		}},
	})
	return r, err
}

// statusReply is a StatusReply.
type statusReply struct {
	state  uint32
	reason string
}

func decodeStatus(b []byte) (statusReply, error) {
	var r statusReply
	err := read(b, map[int]target{1: {number: &r.state}, 2: {text: &r.reason}})
	return r, err
}
