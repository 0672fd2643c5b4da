package topology

import (
	"fmt"
	"net/netip"
)

func (c *checker) external() error {
	gateways := map[string]bool{}
	for _, e := range c.t.External {
		if err := hostName(e.Name); err != nil {
			return err
		}
		if err := c.name("host", e.Name); err != nil {
			return err
		}
		if e.Gateway == "" {
			return fmt.Errorf("external host %s has no gateway", e.Name)
		}
		if err := c.takeAddr(e.IP, "external host "+e.Name); err != nil {
			return err
		}
		if err := c.outside(e.IP, "external host "+e.Name); err != nil {
			return err
		}
		gateways[e.Gateway] = true
	}
	if g := c.t.InternetGateway; g != "" {
		gateways[g] = true
	}
	for g := range gateways {
		if err := c.name("gateway", g); err != nil {
			return err
		}
	}
	for _, n := range c.t.NATGateways {
		if err := hostName(n.Name); err != nil {
			return err
		}
		if err := c.name("NAT gateway", n.Name); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) outside(a netip.Addr, by string) error {
	if Inside(c.t.VPC.CIDRs, netip.PrefixFrom(a, a.BitLen())) {
		return fmt.Errorf("%s: %s is inside the VPC", by, a)
	}
	return nil
}

// public checks the public address of a host in the VPC.
func (c *checker) public(a netip.Addr, by string) error {
	if err := c.takeAddr(a, "the public side of "+by); err != nil {
		return err
	}
	return c.outside(a, "the public side of "+by)
}

func (c *checker) routeTables() error {
	for _, rt := range c.t.RouteTables {
		if err := c.name("route table", rt.ID); err != nil {
			return err
		}
		targets := map[netip.Prefix]string{}
		for _, r := range rt.Routes {
			if !r.Destination.IsValid() || !r.Destination.Addr().Is4() {
				return fmt.Errorf("route table %s: destination %s is not an IPv4 CIDR", rt.ID, r.Destination)
			}
			if other, ok := targets[r.Destination.Masked()]; ok {
				return fmt.Errorf("route table %s: %s goes to %s and to %s", rt.ID, r.Destination, other, r.Target)
			}
			targets[r.Destination.Masked()] = r.Target
			if c.ids[r.Target] == "NAT gateway" {
				continue
			}
			if err := c.ref("gateway", r.Target, "route table "+rt.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *checker) publicIPs() error {
	for _, i := range c.t.Instances {
		if !i.PublicIP.IsValid() {
			continue
		}
		if err := c.public(i.PublicIP, "host "+i.Name); err != nil {
			return err
		}
	}
	return nil
}

// natGateways are checked after the subnets and hosts that they depend on.
func (c *checker) natGateways() error {
	for _, n := range c.t.NATGateways {
		by := "NAT gateway " + n.Name
		if c.t.InternetGateway == "" {
			return fmt.Errorf("%s needs an internetGateway", by)
		}
		if err := c.ref("subnet", n.Subnet, by); err != nil {
			return err
		}
		if err := c.takeAddr(n.IP, by); err != nil {
			return err
		}
		if err := c.usable(n.Subnet, n.IP); err != nil {
			return fmt.Errorf("%s: %w", by, err)
		}
		if err := c.public(n.PublicIP, by); err != nil {
			return err
		}
		for _, rt := range c.t.RouteTables {
			for _, r := range rt.Routes {
				// Packets would go round until their time to live ends.
				if rt.ID == c.subnets[n.Subnet].RouteTable && c.ids[r.Target] == "NAT gateway" {
					return fmt.Errorf("%s: route table %s of its own subnet goes to NAT gateway %s", by, rt.ID, r.Target)
				}
			}
		}
	}
	return nil
}
