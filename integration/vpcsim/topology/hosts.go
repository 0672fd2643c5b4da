package topology

import (
	"fmt"
	"net/netip"
)

func (c *checker) takeAddr(a netip.Addr, by string) error {
	if !a.Is4() {
		return fmt.Errorf("%s has no IPv4 address", by)
	}
	if other, ok := c.addrs[a]; ok {
		return fmt.Errorf("%s: %s belongs to %s", by, a, other)
	}
	c.addrs[a] = by
	return nil
}

func (c *checker) hosts() error {
	one := func(name, subnet string, ip netip.Addr, groups []string) error {
		if err := hostName(name); err != nil {
			return err
		}
		if err := c.name("host", name); err != nil {
			return err
		}
		if err := c.ref("subnet", subnet, "host "+name); err != nil {
			return err
		}
		if err := c.takeAddr(ip, "host "+name); err != nil {
			return err
		}
		if err := c.usable(subnet, ip); err != nil {
			return fmt.Errorf("host %s: %w", name, err)
		}
		if len(groups) == 0 {
			return fmt.Errorf("host %s has no security group", name)
		}
		for _, g := range groups {
			if err := c.ref("security group", g, "host "+name); err != nil {
				return err
			}
		}
		return nil
	}
	if len(c.t.Instances) == 0 {
		return fmt.Errorf("instances is empty")
	}
	for _, i := range c.t.Instances {
		if i.Type == "" {
			return fmt.Errorf("instance %s has no type", i.Name)
		}
		if err := one(i.Name, i.Subnet, i.IP, i.Groups); err != nil {
			return err
		}
	}
	for _, s := range c.t.Services {
		if err := one(s.Name, s.Subnet, s.IP, s.Groups); err != nil {
			return err
		}
	}
	return nil
}

// usable refuses the five addresses that AWS reserves in every subnet: the
// first four and the last.
func (c *checker) usable(subnet string, a netip.Addr) error {
	s := c.subnets[subnet]
	if !s.CIDR.Contains(a) {
		return fmt.Errorf("%s is not in subnet %s (%s)", a, subnet, s.CIDR)
	}
	if Reserved(s.CIDR, a) {
		return fmt.Errorf("%s is reserved by AWS in subnet %s", a, subnet)
	}
	return nil
}

// Reserved tells whether AWS keeps a for itself in the subnet: the first four
// addresses and the last (VPC User Guide, "Subnet CIDR blocks").
func Reserved(subnet netip.Prefix, a netip.Addr) bool {
	b, n := subnet.Masked().Addr().As4(), a.As4()
	base := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	host := (uint32(n[0])<<24 | uint32(n[1])<<16 | uint32(n[2])<<8 | uint32(n[3])) - base
	return host < 4 || host == 1<<(32-subnet.Bits())-1
}

func (c *checker) next() error {
	for subnet, addrs := range c.t.NextAddresses {
		if err := c.ref("subnet", subnet, "nextAddresses"); err != nil {
			return err
		}
		for _, a := range addrs {
			if err := c.takeAddr(a, "nextAddresses of "+subnet); err != nil {
				return err
			}
			if err := c.usable(subnet, a); err != nil {
				return fmt.Errorf("nextAddresses: %w", err)
			}
		}
	}
	return nil
}
