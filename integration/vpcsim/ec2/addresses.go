package ec2

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/vpcchain/vpcchain/integration/vpcsim/topology"
)

// prefixBits is the size of a delegated IPv4 prefix: a /28, 16 addresses.
const prefixBits = 28

// free is DescribeSubnets' AvailableIpAddressCount.
func (sn *subnet) free() int { return 1<<(32-sn.CIDR.Bits()) - 5 - len(sn.used) }

func (sn *subnet) full(n int) error {
	return &apiError{"InsufficientFreeAddressesInSubnet", fmt.Sprintf(
		"The specified subnet does not have enough free addresses to satisfy the request: %d asked, %d free in %s", n, sn.free(), sn.ID), 400}
}

// take reserves n addresses for the ENI: the pinned ones first, then the next
// free ones in turn, so that a freed address is not handed out again at once.
func (sn *subnet) take(n int, eni string) ([]netip.Addr, error) {
	if n > sn.free() {
		return nil, sn.full(n)
	}
	var out []netip.Addr
	for len(out) < n {
		a := sn.pick()
		if !a.IsValid() {
			sn.give(out...)
			return nil, sn.full(n)
		}
		sn.used[a] = eni
		out = append(out, a)
	}
	return out, nil
}

// fill gives a new ENI its secondary addresses or its prefixes.
func (sn *subnet) fill(e *eni, addrs, prefixes int) (err error) {
	if e.addrs, err = sn.take(addrs, e.id); err == nil {
		e.prefixes, err = sn.takePrefixes(prefixes, e.id)
	}
	return err
}

func (sn *subnet) pick() netip.Addr {
	for len(sn.pinned) > 0 {
		a := sn.pinned[0]
		sn.pinned = sn.pinned[1:]
		if _, taken := sn.used[a]; !taken {
			return a
		}
	}
	reserved := map[netip.Addr]bool{}
	for _, a := range sn.pinned {
		reserved[a] = true
	}
	for range 1 << (32 - sn.CIDR.Bits()) {
		a := sn.next
		sn.next = sn.after(a)
		if _, taken := sn.used[a]; !taken && !reserved[a] && !topology.Reserved(sn.CIDR, a) {
			return a
		}
	}
	return netip.Addr{}
}

// scatterStep leads to another /28 each time and, being odd, to every address once.
const scatterStep = 1<<(32-prefixBits) + 1

// after is the address to look at when a was taken or is not free.
func (sn *subnet) after(a netip.Addr) netip.Addr {
	step, size := uint32(1), uint32(1)<<(32-sn.CIDR.Bits())
	if sn.Scatter {
		step = scatterStep
	}
	base, at := sn.CIDR.Addr().As4(), a.As4()
	first := binary.BigEndian.Uint32(base[:])
	var out [4]byte
	binary.BigEndian.PutUint32(out[:], first+(binary.BigEndian.Uint32(at[:])-first+step)%size)
	return netip.AddrFrom4(out)
}

// takeExact reserves one address that the caller named.
func (sn *subnet) takeExact(a netip.Addr, eni string) error {
	if !sn.CIDR.Contains(a) || topology.Reserved(sn.CIDR, a) {
		return &apiError{"InvalidParameterValue", fmt.Sprintf("Address %s is not usable in subnet %s", a, sn.ID), 400}
	}
	if by, taken := sn.used[a]; taken && by != eni {
		return &apiError{"InvalidIPAddress.InUse", fmt.Sprintf("Address %s is in use.", a), 400}
	}
	sn.used[a] = eni
	return nil
}

// takePrefixes reserves n aligned /28 blocks that are wholly free. EC2 reports
// a subnet that has free addresses but no free block with a code of its own.
func (sn *subnet) takePrefixes(n int, eni string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for block := netip.PrefixFrom(sn.CIDR.Addr(), prefixBits); len(out) < n && sn.CIDR.Contains(block.Addr()); {
		if sn.blockFree(block) {
			out = append(out, block)
		}
		last := block.Addr()
		for range 1 << (32 - prefixBits) {
			last = last.Next()
		}
		block = netip.PrefixFrom(last, prefixBits)
	}
	if len(out) < n {
		return nil, &apiError{"InsufficientCidrBlocks", fmt.Sprintf("The specified subnet does not have enough free cidr blocks to satisfy the request: %s", sn.ID), 400}
	}
	for _, p := range out {
		eachAddr(p, func(a netip.Addr) { sn.used[a] = eni })
	}
	return out, nil
}

func (sn *subnet) blockFree(p netip.Prefix) bool {
	for a := p.Masked().Addr(); p.Contains(a); a = a.Next() {
		if _, taken := sn.used[a]; taken || topology.Reserved(sn.CIDR, a) {
			return false
		}
	}
	return true
}

func eachAddr(p netip.Prefix, f func(netip.Addr)) {
	for a := p.Masked().Addr(); p.Contains(a); a = a.Next() {
		f(a)
	}
}

func (sn *subnet) give(addrs ...netip.Addr) {
	for _, a := range addrs {
		delete(sn.used, a)
	}
}

// room says how many more addresses or prefixes fit on the ENI; a prefix takes
// the place of one address. An ENI that is not attached has the widest limit.
func (s *Sim) room(e *eni) int {
	limit := mostPerENI
	if e.attachment != nil {
		limit = s.limits[s.instances[e.attachment.instance].kind].IPv4PerENI
	}
	return limit - 1 - len(e.addrs) - len(e.prefixes)
}
