package eni

import "errors"

// Types of ENIs beside the ordinary one.
const (
	TypeTrunk  = "trunk"  // carries branch ENIs as VLANs
	TypeBranch = "branch" // a VLAN of a trunk, without a device of its own
)

// IsTrunk tells whether e carries branch ENIs.
func (e ENI) IsTrunk() bool { return e.Type == TypeTrunk }

// Association makes a branch ENI a VLAN of a trunk.
type Association struct {
	ID     string
	Trunk  string
	Branch string
	VLAN   int
}

// Refusals of EC2 about branch ENIs.
var (
	// ErrBadGroups: the security groups do not exist, or are too many.
	ErrBadGroups = errors.New("EC2 refuses the security groups")
	// ErrInUse: the ENI is attached, or associated with a trunk.
	ErrInUse = errors.New("the ENI is in use")
)
