package config

import (
	"fmt"
	"strconv"
	"time"

	"github.com/vpcchain/vpcchain/pkg/nodefacts"
)

// Trunking are the settings of security groups per pod.
type Trunking struct {
	PodENI         bool          // ENABLE_POD_ENI: pods may have branch ENIs
	Enforcing      string        // POD_SECURITY_GROUP_ENFORCING_MODE: nodefacts.ModeStrict or ModeStandard
	BranchCooldown time.Duration // BRANCH_ENI_COOLDOWN: a branch ENI rests after use
	WarmBranches   int           // WARM_BRANCH_ENI_TARGET: spare ones for each set of security groups
}

func trunking() []Setting {
	return []Setting{
		{
			"ENABLE_POD_ENI", "false", "true or false",
			"pods may have security groups of their own, by branch ENIs; one ENI of the instance is kept for their trunk, where the type carries one",
			func(c *Config, v string) (err error) { c.PodENI, err = strconv.ParseBool(v); return err },
		},
		{
			"POD_SECURITY_GROUP_ENFORCING_MODE", nodefacts.ModeStrict, "strict or standard",
			"strict: all traffic of such a pod goes through the VPC, also to pods of its node, and nothing of it is NATed; standard: what stays on the node or goes to the internet is as with other pods",
			func(c *Config, v string) error {
				if c.Enforcing = v; v != nodefacts.ModeStrict && v != nodefacts.ModeStandard {
					return fmt.Errorf("neither %s nor %s", nodefacts.ModeStrict, nodefacts.ModeStandard)
				}
				return nil
			},
		},
		{
			"BRANCH_ENI_COOLDOWN", "60", "seconds, a whole number from 0", "how long a branch ENI is not given to another pod; those that the VPC resource controller makes rest there",
			number(0, 86400, func(c *Config, n int) { c.BranchCooldown = time.Duration(n) * time.Second }),
		},
		{
			"WARM_BRANCH_ENI_TARGET", "1", "a whole number from 0",
			"spare branch ENIs to keep for each set of security groups that pods have, or had within 10 minutes; without effect where the VPC resource controller makes them",
			number(0, 120, func(c *Config, n int) { c.WarmBranches = n }),
		},
	}
}
