package cloud

import (
	"errors"
	"net/netip"
	"slices"
	"testing"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
)

// Prefixes come with a new ENI and on one that exists, EC2 and IMDS show them
// apart from the addresses, and each takes the room of one address.
func TestAssignPrefixes(t *testing.T) {
	onNodeA(t, Options{}, func(n node) {
		t, c, ctx := n.t, n.c, n.t.Context()
		e, err := c.Create(ctx, eni.CreateSpec{SubnetID: "subnet-a", Groups: []string{"sg-nodes"}, Prefixes: 2})
		check(t, err)
		_, err = c.Attach(ctx, e.ID, 0, 1)
		check(t, err)
		more, err := c.AssignPrefixes(ctx, e.ID, 3)
		check(t, err)
		want := append(slices.Clone(e.Prefixes), more...)
		all, err := c.Describe(ctx)
		check(t, err)
		seen, err := c.ENIs(ctx)
		check(t, err)
		for _, got := range []eni.ENI{all[1], seen[1]} {
			if !slices.Equal(got.Prefixes, want) || len(want) != 5 || len(got.Addresses) != 0 || want[0].Bits() != eni.PrefixBits {
				t.Errorf("prefixes %v and addresses %v, want %v", got.Prefixes, got.Addresses, want)
			}
		}
		if _, err = c.AssignPrefixes(ctx, e.ID, 5); !errors.Is(err, eni.ErrAddressLimit) {
			t.Errorf("ten prefixes on an m5.large: %v", err)
		}
		check(t, c.UnassignPrefixes(ctx, e.ID, want[1:3]))
		check(t, c.UnassignPrefixes(ctx, e.ID, nil))
		if all, err = c.Describe(ctx); err != nil || len(all[1].Prefixes) != 3 {
			t.Errorf("two of five given back: %v, %v", all[1].Prefixes, err)
		}
	})
}

// A subnet may have addresses and no free /28; one that is given back is free again.
func TestNoFreePrefix(t *testing.T) {
	onNodeA(t, Options{}, func(n node) {
		t, c, ctx := n.t, n.c, n.t.Context()
		var last []netip.Prefix
		for {
			got, err := c.AssignPrefixes(ctx, n.primary(), 1)
			if errors.Is(err, eni.ErrAddressLimit) {
				_, err = c.Create(ctx, eni.CreateSpec{SubnetID: "subnet-a", Groups: []string{"sg-nodes"}, Prefixes: 3})
			} else if err == nil {
				last = got
			}
			if errors.Is(err, eni.ErrSubnetFull) {
				break
			}
			check(t, err)
		}
		check(t, c.UnassignPrefixes(ctx, n.primary(), last))
		if _, err := c.Assign(ctx, n.primary(), 1); err != nil {
			t.Errorf("the subnet has single addresses: %v", err)
		}
	})
}

// primary is the id of the instance's primary ENI.
func (n node) primary() string {
	n.t.Helper()
	who, err := n.c.Node(n.t.Context())
	check(n.t, err)
	return who.PrimaryENI
}
