package ec2

import (
	"fmt"
	"net/netip"
	"slices"
)

func (s *Sim) assignPrivateIPAddresses(q query) (any, error) {
	e, err := s.findENI(q)
	if err != nil {
		return nil, err
	}
	count, err := q.number("SecondaryPrivateIpAddressCount")
	if err != nil {
		return nil, err
	}
	prefixes, err := q.number("Ipv4PrefixCount")
	if err != nil {
		return nil, err
	}
	named := q.list("PrivateIpAddress")
	want := count + prefixes + len(named)
	if want == 0 {
		return nil, missing("secondaryPrivateIpAddressCount")
	}
	if prefixes > 0 && count+len(named) > 0 {
		return nil, &apiError{"InvalidParameterCombination", "Ipv4PrefixCount excludes private addresses", 400}
	}
	if prefixes > 0 && e.attachment != nil && !s.takesPrefixes(s.instances[e.attachment.instance]) {
		return nil, noPrefixes(s.instances[e.attachment.instance])
	}
	if want > s.room(e) {
		return nil, &apiError{"PrivateIpAddressLimitExceeded", fmt.Sprintf(
			"Number of private addresses will exceed limit: %d more asked, room for %d on %s", want, s.room(e), e.id), 400}
	}
	return s.assign(e, count, prefixes, named)
}

func (s *Sim) assign(e *eni, count, prefixes int, named []string) (any, error) {
	sn := s.subnets[e.subnet]
	var addrs []netip.Addr
	for _, text := range named {
		a, err := netip.ParseAddr(text)
		if err == nil {
			err = sn.takeExact(a, e.id)
		}
		if err != nil {
			sn.give(addrs...)
			return nil, err
		}
		if !slices.Contains(e.addrs, a) {
			addrs = append(addrs, a)
		}
	}
	more, err := sn.take(count, e.id)
	if err != nil {
		sn.give(addrs...)
		return nil, err
	}
	addrs = append(addrs, more...)
	blocks, err := sn.takePrefixes(prefixes, e.id)
	if err != nil {
		sn.give(addrs...)
		return nil, err
	}
	e.addrs, e.prefixes = append(e.addrs, addrs...), append(e.prefixes, blocks...)
	reply := assignAddresses{ENI: e.id, Return: true}
	for _, a := range addrs {
		reply.Addresses = append(reply.Addresses, xmlAddress{Address: a.String()})
	}
	for _, p := range blocks {
		reply.Prefixes = append(reply.Prefixes, xmlPrefix{p.String()})
	}
	return reply, s.changed()
}

func (s *Sim) unassignPrivateIPAddresses(q query) (any, error) {
	e, err := s.findENI(q)
	if err != nil {
		return nil, err
	}
	var addrs []netip.Addr
	for _, text := range q.list("PrivateIpAddress") {
		a, err := netip.ParseAddr(text)
		if err != nil || !slices.Contains(e.addrs, a) {
			return nil, invalid("Some of %s are not assigned to interface %s", text, e.id)
		}
		addrs = append(addrs, a)
	}
	var blocks []netip.Prefix
	for _, text := range q.list("Ipv4Prefix") {
		p, err := netip.ParsePrefix(text)
		if err != nil || !slices.Contains(e.prefixes, p) {
			return nil, invalid("Some of %s are not assigned to interface %s", text, e.id)
		}
		blocks = append(blocks, p)
	}
	sn := s.subnets[e.subnet]
	sn.give(addrs...)
	for _, p := range blocks {
		eachAddr(p, func(a netip.Addr) { sn.give(a) })
	}
	e.addrs = slices.DeleteFunc(e.addrs, func(a netip.Addr) bool { return slices.Contains(addrs, a) })
	e.prefixes = slices.DeleteFunc(e.prefixes, func(p netip.Prefix) bool { return slices.Contains(blocks, p) })
	return done{true}, s.changed()
}
