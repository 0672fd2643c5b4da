package engine

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/config"
	"github.com/vpcchain/vpcchain/daemon/internal/eni"
)

// zones is a fakeEC2 with several subnets, each with addresses of its own, and
// with security groups.
type zones struct {
	*fakeEC2
	left    map[string]int // free addresses by subnet
	groups  []string       // of the primary ENI
	created []creation
	set     []string // "<ENI> <groups>", in the order of the calls
}

type creation struct {
	eni.CreateSpec
	at time.Time
	ok bool
}

// take takes n addresses of the subnet, or none.
func (z *zones) take(subnet string, n int) bool {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.left[subnet] < n {
		return false
	}
	z.left[subnet] -= n
	return true
}

func full(subnet string) error { return fmt.Errorf("in %s: %w", subnet, eni.ErrSubnetFull) }

func (z *zones) Create(ctx context.Context, spec eni.CreateSpec) (eni.ENI, error) {
	ok := z.take(spec.SubnetID, spec.Addresses+1)
	z.mu.Lock()
	z.created = append(z.created, creation{spec, time.Now(), ok})
	z.mu.Unlock()
	if !ok {
		if err := z.begin(ctx, "Create"); err != nil {
			return eni.ENI{}, err
		}
		return eni.ENI{}, full(spec.SubnetID)
	}
	return z.fakeEC2.Create(ctx, spec)
}

func (z *zones) Assign(ctx context.Context, id string, n int) ([]netip.Addr, error) {
	z.mu.Lock()
	subnet := z.enis[id].SubnetID
	z.mu.Unlock()
	if !z.take(subnet, n) {
		if err := z.begin(ctx, "Assign"); err != nil {
			return nil, err
		}
		return nil, full(subnet)
	}
	return z.fakeEC2.Assign(ctx, id, n)
}

func (z *zones) SetGroups(ctx context.Context, id string, groups []string) error {
	if err := z.begin(ctx, "SetGroups"); err != nil {
		return err
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	z.set = append(z.set, id+" "+strings.Join(groups, ","))
	z.enis[id].Groups = groups
	return nil
}

func (z *zones) Node(ctx context.Context) (eni.Node, error) {
	n, err := z.fakeEC2.Node(ctx)
	z.mu.Lock()
	defer z.mu.Unlock()
	n.Groups = slices.Clone(z.groups)
	return n, err
}

// subnets are those of the creations so far, with a ! behind a refused one.
func (z *zones) subnets() string {
	z.mu.Lock()
	defer z.mu.Unlock()
	var out []string
	for _, c := range z.created {
		if c.ok {
			out = append(out, c.SubnetID)
		} else {
			out = append(out, c.SubnetID+"!")
		}
	}
	return strings.Join(out, " ")
}

// fakePlaces are places in a fixed order, or an error.
type fakePlaces struct {
	z       *zones
	list    []eni.Placement
	err     error
	asked   int
	changes chan struct{}
}

func (p *fakePlaces) Places(context.Context, eni.Node) ([]eni.Placement, error) {
	p.z.mu.Lock()
	defer p.z.mu.Unlock()
	p.asked++
	return p.list, p.err
}

func (p *fakePlaces) Changes() <-chan struct{} { return p.changes }

// inZones is inBubble with subnets: the node's own has the addresses left, and
// the places are those named.
func inZones(t *testing.T, c config.Config, left map[string]int, places string, f func(t *testing.T, r *rig, z *zones, p *fakePlaces)) {
	t.Helper()
	inBubble(t, c, func(t *testing.T, r *rig) {
		r.ec2.enis["eni-0"].SubnetID = "subnet-1"
		z := &zones{fakeEC2: r.ec2, left: left, groups: []string{"sg-1"}}
		p := &fakePlaces{z: z, changes: make(chan struct{}, 1)}
		for s := range strings.FieldsSeq(places) {
			p.list = append(p.list, eni.Placement{SubnetID: s})
		}
		r.deps.ENIs, r.deps.Addresses, r.deps.Metadata, r.deps.Groups, r.deps.Placement = z, z, z, z, p
		f(t, r, z, p)
	})
}
