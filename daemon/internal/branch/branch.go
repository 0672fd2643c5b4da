// Package branch keeps the books of branch ENIs: which VLANs of the trunk there
// are, who holds them, which rest after use, and what EC2 has to be asked for.
// A branch is either announced, made by the VPC resource controller and told by
// the pod's annotation, or made by this daemon for a set of security groups.
//
// It is a plain state machine: no lock, no clock, no I/O. Whoever owns a Book
// guards it, passes the time and carries the actions out. A record is at the
// same time the intent of the call that it has come to: what is on disk before
// each call of EC2 is enough to finish or to undo it.
package branch

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/daemon/internal/pool"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// Step is the call of EC2 that a branch has come to: it may have been made or not.
type Step string

// The steps in their order. An announced branch is Ready from the start.
const (
	Creating    Step = "create"
	Associating Step = "associate"
	Ready       Step = "ready"
	Leaving     Step = "disassociate"
	Deleting    Step = "delete"
)

// Branch is one branch ENI and all that a restart must not forget of it.
type Branch struct {
	Key       string         `json:"key"` // of the record: there before EC2 gives an id
	Announced bool           `json:"announced,omitempty"`
	Step      Step           `json:"step"`
	Spec      eni.CreateSpec `json:"spec"` // the very request, which EC2 wants to see again under its ClientToken
	Kind      Kind           `json:"kind"`

	ENI         string       `json:"eni,omitempty"`
	MAC         string       `json:"mac,omitempty"`
	Addr        netip.Addr   `json:"addr"`
	Subnet      netip.Prefix `json:"subnet"`
	Trunk       string       `json:"trunk"`
	VLAN        int          `json:"vlan"`
	Association string       `json:"association,omitempty"`
	Refused     int          `json:"refused,omitempty"` // associations

	Begun   time.Time `json:"begun"`   // when EC2 was first asked for it
	Changed time.Time `json:"changed"` // when EC2 was last asked to change it
	Freed   time.Time `json:"freed"`   // since when nobody holds it
	Used    bool      `json:"used"`    // a pod had it: it rests after Freed
	Holder  *Holder   `json:"holder,omitempty"`

	// Doubt says why the branch is given to nobody, or what is wrong with it
	// under its holder. It is found out anew by every daemon.
	Doubt   string    `json:"-"`
	missing time.Time // since when EC2 does not list it
}

// Holder is the attachment that has a branch.
type Holder struct {
	Attachment vpcnet.Attachment `json:"attachment"`
	Pod        pool.Pod          `json:"pod"`
	Since      time.Time         `json:"since"`
}

// Allocation is the branch as what its holder has of it.
func (r Branch) Allocation() pool.Allocation {
	return pool.Allocation{Attachment: r.Holder.Attachment, Addr: r.Addr, ENI: r.ENI, Pod: r.Holder.Pod, Since: r.Holder.Since}
}

// AssociateToken is the ClientToken of the association: it makes a repeated one
// the same. Another VLAN id is another request, and so is one after a refusal:
// the association of the token may have been there and have ended.
func (r Branch) AssociateToken() string { return fmt.Sprintf("%s-%d-%d", r.Key, r.VLAN, r.Refused) }

// Kind is what makes branches interchangeable: the subnet and the set of
// security groups.
type Kind struct {
	Subnet string `json:"subnet"`
	Groups string `json:"groups"` // ids, sorted, with commas between them
}

// KindOf is the kind of branches in the subnet with the groups.
func KindOf(subnet string, groups []string) Kind {
	sorted := slices.Compact(slices.Sorted(slices.Values(groups)))
	return Kind{subnet, strings.Join(sorted, ",")}
}

// List are the ids of the groups.
func (k Kind) List() []string { return strings.Split(k.Groups, ",") }

// String says the kind in words.
func (k Kind) String() string { return k.Groups + " in " + k.Subnet }

func compareKinds(a, b Kind) int {
	return cmp.Or(cmp.Compare(a.Subnet, b.Subnet), cmp.Compare(a.Groups, b.Groups))
}

// Prefix of the description of a branch ENI that this daemon made: it tells
// them from the controller's, and package leaks finds them by it.
const descriptionPrefix = "aws-K8S-branch-"

// Description of the branches of an instance.
func Description(instance string) string { return descriptionPrefix + instance }

// Tags of the VPC resource controller on branch ENIs.
const (
	TagVLAN  = "vpcresources.k8s.aws/vlan-id"
	TagTrunk = "vpcresources.k8s.aws/trunk-eni-id"
)

// State is what an operator sees of a branch.
type State string

// The states.
const (
	InUse   State = "in use"
	Warm    State = "warm"
	Cooling State = "cooling" // rests after use
	Making  State = "creating"
	Going   State = "deleting"
	InDoubt State = "in doubt"
)

// StateAt is the state at the time.
func (b *Book) StateAt(r Branch, now time.Time) State {
	switch {
	case r.Step == Creating || r.Step == Associating:
		return Making
	case r.Holder != nil:
		return InUse
	case r.Step != Ready:
		return Going
	case r.Doubt != "":
		return InDoubt
	case b.rests(&r, now):
		return Cooling
	}
	return Warm
}
