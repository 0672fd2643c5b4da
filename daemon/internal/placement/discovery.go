package placement

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
)

// Subnets describes the subnets of a zone of a VPC.
type Subnets interface {
	Subnets(ctx context.Context, vpc, az string) ([]eni.Subnet, error)
}

// The stock daemon's tags of subnets.
const (
	roleTag       = "kubernetes.io/role/cni"          // 0 keeps ENIs out, any other value lets them in
	clusterPrefix = "cni.networking.k8s.aws/cluster/" // the clusters that may use the subnet; none: all
)

// keepFor is how long EC2's count of free addresses is believed. Within it the
// ENIs of a burst are made by one answer; a subnet that has less than it says
// costs one refused call.
const keepFor = time.Minute

// Discovery finds the subnets of the node's zone that may take ENIs.
type Discovery struct {
	ec2     Subnets
	cluster string
	log     *slog.Logger
	// turn has a value while nobody asks EC2: who comes meanwhile wants the same
	// answer. A mutex would not end with a context.
	turn chan struct{}
	have []eni.Subnet
	at   time.Time
}

// NewDiscovery asks ec2. Subnets of other clusters are left out; with an empty
// cluster none is.
func NewDiscovery(ec2 Subnets, cluster string, log *slog.Logger) *Discovery {
	d := &Discovery{ec2: ec2, cluster: cluster, log: log, turn: make(chan struct{}, 1)}
	d.turn <- struct{}{}
	return d
}

// Changes never has a value: tags are read with the subnets.
func (d *Discovery) Changes() <-chan struct{} { return nil }

// Places are the subnets in the order of their free addresses. When EC2 does not
// tell, what it told before is used, or the node's own subnet.
func (d *Discovery) Places(ctx context.Context, node eni.Node) ([]eni.Placement, error) {
	subnets, err := d.subnets(ctx, node)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		d.log.Warn("looking for subnets for pods; the node's own must do", "error", err)
		return []eni.Placement{{SubnetID: node.SubnetID}}, nil
	}
	return Choose(subnets, node.SubnetID, d.cluster)
}

func (d *Discovery) subnets(ctx context.Context, node eni.Node) ([]eni.Subnet, error) {
	select {
	case <-d.turn:
		defer func() { d.turn <- struct{}{} }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if len(d.have) > 0 && time.Since(d.at) < keepFor {
		return d.have, nil
	}
	found, err := d.ec2.Subnets(ctx, node.VPCID, node.AZ)
	if err != nil && len(d.have) > 0 {
		d.log.Warn("looking for subnets for pods; those of before must do", "error", err)
		return d.have, nil
	}
	if err != nil {
		return nil, err
	}
	d.have, d.at = found, time.Now()
	return found, nil
}

// Choose picks the subnets that may take ENIs and have room for one, the one
// with the most free addresses first.
func Choose(subnets []eni.Subnet, own, cluster string) ([]eni.Placement, error) {
	var may []eni.Subnet
	for _, s := range subnets {
		if allowed(s, own, cluster) {
			may = append(may, s)
		}
	}
	if len(may) == 0 {
		return nil, fmt.Errorf("no subnet of the zone may take ENIs for pods: set the tag %s=1 on one", roleTag)
	}
	// Equal ones by id, lest two answers of EC2 make two orders.
	slices.SortFunc(may, func(a, b eni.Subnet) int { return cmp.Or(cmp.Compare(b.Free, a.Free), cmp.Compare(a.ID, b.ID)) })
	var out []eni.Placement
	var full []string
	for _, s := range may {
		if s.Free < 2 { // the ENI's own address and one for a pod
			full = append(full, fmt.Sprintf("%s has %d", s.ID, s.Free))
			continue
		}
		out = append(out, eni.Placement{SubnetID: s.ID, Free: s.Free})
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("no subnet for pods has room for another ENI: %w: %s", eni.ErrSubnetFull, strings.Join(full, ", "))
	}
	return out, nil
}

// allowed tells whether ENIs for pods may go into s: into the node's own subnet
// unless the tag forbids it, into another one if the tag allows it.
func allowed(s eni.Subnet, own, cluster string) bool {
	role, tagged := s.Tags[roleTag]
	if !tagged {
		return s.ID == own
	}
	if role == "0" {
		return false
	}
	mine, others := false, false
	for key := range s.Tags {
		if name, ok := strings.CutPrefix(key, clusterPrefix); ok {
			mine, others = mine || name == cluster, others || name != cluster
		}
	}
	return cluster == "" || mine || !others
}
