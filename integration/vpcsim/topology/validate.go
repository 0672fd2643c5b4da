package topology

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
)

func (t *Topology) defaults() {
	if t.Region == "" {
		t.Region = "us-west-2"
	}
	if t.VPC.ID == "" {
		t.VPC.ID = "vpc-0a1b2c3d"
	}
	for i := range t.Instances {
		if in := &t.Instances[i]; in.ID == "" {
			sum := sha256.Sum256([]byte(in.Name))
			in.ID = "i-" + hex.EncodeToString(sum[:])[:17]
		}
	}
	for gi := range t.SecurityGroups {
		g := &t.SecurityGroups[gi]
		for _, perms := range [][]Permission{g.Ingress, g.Egress} {
			for i := range perms {
				if perms[i].Protocol == "" {
					perms[i].Protocol = "-1"
				}
				if perms[i].ToPort == 0 {
					perms[i].ToPort = 65535
				}
				for j, id := range perms[i].Groups {
					if id == "self" {
						perms[i].Groups[j] = g.ID
					}
				}
			}
		}
	}
}

// checker collects what exists while the parts are checked in order.
type checker struct {
	t       *Topology
	ids     map[string]string // every id and host name -> what it is
	addrs   map[netip.Addr]string
	subnets map[string]Subnet
}

func (t *Topology) validate() error {
	c := &checker{t: t, ids: map[string]string{}, addrs: map[netip.Addr]string{}, subnets: map[string]Subnet{}}
	for _, step := range []func() error{c.vpc, c.groups, c.external, c.routeTables, c.checkSubnets, c.hosts, c.publicIPs, c.natGateways, c.next, c.conditions} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) name(kind, id string) error {
	if id == "" {
		return fmt.Errorf("a %s has no id or name", kind)
	}
	if other, ok := c.ids[id]; ok {
		return fmt.Errorf("%s %s: a %s has that name already", kind, id, other)
	}
	c.ids[id] = kind
	return nil
}

func (c *checker) ref(kind, id, by string) error {
	if c.ids[id] != kind {
		return fmt.Errorf("%s names %s %q, which does not exist", by, kind, id)
	}
	return nil
}

func (c *checker) vpc() error { return CheckCIDRs(c.t.VPC.CIDRs) }

// CheckCIDRs tells what is wrong with the CIDRs of a VPC.
func CheckCIDRs(cidrs []netip.Prefix) error {
	if len(cidrs) == 0 {
		return fmt.Errorf("vpc.cidrs is empty: give at least one such as 10.20.0.0/16")
	}
	for i, p := range cidrs {
		if !p.IsValid() || !p.Addr().Is4() || p != p.Masked() || p.Bits() < 16 || p.Bits() > 28 {
			return fmt.Errorf("vpc.cidrs: %s is not an IPv4 CIDR of /16 to /28", p)
		}
		for _, q := range cidrs[:i] {
			if p.Overlaps(q) {
				return fmt.Errorf("vpc.cidrs: %s and %s overlap", p, q)
			}
		}
	}
	return nil
}

func (c *checker) groups() error {
	for _, g := range c.t.SecurityGroups {
		if err := c.name("security group", g.ID); err != nil {
			return err
		}
	}
	for _, g := range c.t.SecurityGroups {
		for _, p := range append(append([]Permission(nil), g.Ingress...), g.Egress...) {
			switch p.Protocol {
			case "-1", "tcp", "udp", "icmp":
			default:
				return fmt.Errorf("security group %s: protocol %q: -1, tcp, udp and icmp are allowed", g.ID, p.Protocol)
			}
			if p.FromPort < 0 || p.ToPort > 65535 || p.FromPort > p.ToPort {
				return fmt.Errorf("security group %s: ports %d-%d", g.ID, p.FromPort, p.ToPort)
			}
			for _, id := range p.Groups {
				if err := c.ref("security group", id, "security group "+g.ID); err != nil {
					return err
				}
			}
			for _, cidr := range p.CIDRs {
				if !cidr.IsValid() || !cidr.Addr().Is4() {
					return fmt.Errorf("security group %s: %s is not an IPv4 CIDR", g.ID, cidr)
				}
			}
		}
	}
	return nil
}

// hostName keeps a name usable as a directory, a namespace and part of a link name.
func hostName(name string) error {
	if !regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`).MatchString(name) {
		return fmt.Errorf("host name %q: lower-case letters, digits and dashes, at most 32", name)
	}
	return nil
}

func (c *checker) checkSubnets() error {
	for i, s := range c.t.Subnets {
		if err := c.name("subnet", s.ID); err != nil {
			return err
		}
		if !s.CIDR.IsValid() || s.CIDR != s.CIDR.Masked() || s.CIDR.Bits() > 28 || s.CIDR.Bits() < 16 {
			return fmt.Errorf("subnet %s: %s is not an IPv4 CIDR of /16 to /28", s.ID, s.CIDR)
		}
		if !Inside(c.t.VPC.CIDRs, s.CIDR) {
			return fmt.Errorf("subnet %s: %s lies in no CIDR of the VPC", s.ID, s.CIDR)
		}
		for _, o := range c.t.Subnets[:i] {
			if s.CIDR.Overlaps(o.CIDR) {
				return fmt.Errorf("subnet %s: %s overlaps subnet %s", s.ID, s.CIDR, o.ID)
			}
		}
		if s.AZ == "" {
			return fmt.Errorf("subnet %s has no az", s.ID)
		}
		if err := c.ref("route table", s.RouteTable, "subnet "+s.ID); err != nil {
			return err
		}
		c.subnets[s.ID] = s
	}
	return nil
}

// Inside tells whether one of the CIDRs contains all of p.
func Inside(cidrs []netip.Prefix, p netip.Prefix) bool {
	return slices.ContainsFunc(cidrs, func(c netip.Prefix) bool { return c.Contains(p.Addr()) && c.Bits() <= p.Bits() })
}
