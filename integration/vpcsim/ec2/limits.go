package ec2

import "fmt"

// EC2's quotas that do not depend on the instance type (VPC User Guide, "Quotas").
const (
	eniQuota     = 5000 // per region
	groupsPerENI = 5
	tagsPerENI   = 50
	mostPerENI   = 64 // addresses of the widest instance type
)

// checkCreate refuses an ENI that the account has no room for.
func (s *Sim) checkCreate(groups []string, slots int) error {
	quota := s.topo.ENIQuota
	if quota == 0 {
		quota = eniQuota
	}
	switch {
	case fewGroups(groups) != nil:
		return fewGroups(groups)
	case len(s.enis) >= quota:
		return &apiError{"NetworkInterfaceLimitExceeded", fmt.Sprintf("The maximum number of network interfaces, %d, has been reached.", quota), 400}
	case slots+1 > mostPerENI:
		return &apiError{"PrivateIpAddressLimitExceeded", "Number of private addresses will exceed limit.", 400}
	}
	return nil
}

// fewGroups refuses an ENI more security groups than EC2 lets it have.
func fewGroups(groups []string) error {
	if len(groups) > groupsPerENI {
		return &apiError{"SecurityGroupsPerInterfaceLimitExceeded", "The maximum number of security groups per interface has been reached.", 400}
	}
	return nil
}

// fewTags refuses an ENI more tags than EC2 keeps.
func fewTags(tags map[string]string) error {
	if len(tags) > tagsPerENI {
		return &apiError{"TagLimitExceeded", fmt.Sprintf("The maximum number of tags for a resource, %d, has been reached.", tagsPerENI), 400}
	}
	return nil
}

// takesPrefixes: only Nitro instances carry delegated prefixes.
func (s *Sim) takesPrefixes(in *instance) bool { return s.limits[in.kind].Hypervisor != "xen" }

func noPrefixes(in *instance) error {
	return &apiError{"UnsupportedOperation", "The instance type '" + in.kind + "' does not support prefix delegation.", 400}
}
