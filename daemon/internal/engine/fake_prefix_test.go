package engine

import (
	"context"
	"net/netip"
	"slices"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
)

// prefixes takes n /28 out of the subnet, none if it has not so many.
func (f *fakeEC2) prefixes(n int) ([]netip.Prefix, error) {
	if n > f.blocks {
		return nil, eni.ErrSubnetFull
	}
	f.blocks -= n
	var out []netip.Prefix
	for range n {
		f.serialBlock++
		out = append(out, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 1, byte(f.serialBlock / 16), byte(f.serialBlock % 16 * 16)}), eni.PrefixBits))
	}
	return out, nil
}

func (f *fakeEC2) AssignPrefixes(ctx context.Context, id string, n int) ([]netip.Prefix, error) {
	if err := f.begin(ctx, "AssignPrefixes"); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	e := f.enis[id]
	if len(e.Addresses)+len(e.Prefixes)+n > f.limits.Secondary() {
		return nil, eni.ErrAddressLimit
	}
	got, err := f.prefixes(n)
	if err != nil {
		return nil, err
	}
	e.Prefixes = append(slices.Clip(e.Prefixes), got...)
	return got, f.end("AssignPrefixes")
}

func (f *fakeEC2) UnassignPrefixes(ctx context.Context, id string, prefixes []netip.Prefix) error {
	if err := f.begin(ctx, "UnassignPrefixes"); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	e := f.enis[id]
	e.Prefixes = slices.DeleteFunc(slices.Clone(e.Prefixes), func(p netip.Prefix) bool { return slices.Contains(prefixes, p) })
	f.blocks += len(prefixes)
	return f.end("UnassignPrefixes")
}
