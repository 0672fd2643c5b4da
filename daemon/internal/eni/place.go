package eni

import (
	"net/netip"
	"time"
)

// TagNoManage is the stock daemon's tag for an ENI that belongs to somebody else.
const TagNoManage = "node.k8s.amazonaws.com/no_manage"

// Unmanaged tells whether an operator keeps e to himself: the daemon shows it
// and does nothing else with it. The primary ENI is always managed.
func (e ENI) Unmanaged() bool { return e.Tags[TagNoManage] == "true" && !e.IsPrimary() }

// Placement is where a new ENI for pods may go.
type Placement struct {
	SubnetID string
	Groups   []string // security group ids; none: those of the primary ENI
	Free     int      // addresses that EC2 counted free in the subnet lately; 0: nobody counted
}

// Subnet is a subnet of the VPC as EC2 describes it.
type Subnet struct {
	ID   string
	CIDR netip.Prefix
	AZ   string
	Free int // addresses that nobody has
	Tags map[string]string
}

// SubnetRoom is how many addresses of a subnet nobody had when EC2 was asked.
type SubnetRoom struct {
	ID    string
	Free  int
	Asked time.Time
}
