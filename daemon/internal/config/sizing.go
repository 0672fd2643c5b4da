package config

import (
	"strconv"
	"time"
)

// sizing are the settings of how much the pool keeps ready.
func sizing() []Setting {
	return []Setting{
		{
			"WARM_ENI_TARGET", "1", "a whole number from 0", "whole spare ENIs to keep; without effect with ENABLE_PREFIX_DELEGATION, and when WARM_IP_TARGET or MINIMUM_IP_TARGET is set",
			number(0, 1000, func(c *Config, n int) { c.WarmENI = n }),
		},
		{
			"WARM_IP_TARGET", "0", "a whole number from 0; 0 is off", "free addresses to keep",
			number(0, 100000, func(c *Config, n int) { c.WarmIP = n }),
		},
		{
			"MINIMUM_IP_TARGET", "0", "a whole number from 0; 0 is off", "addresses to have at least, used ones included",
			number(0, 100000, func(c *Config, n int) { c.MinimumIP = n }),
		},
		{
			"MAX_ENI", "0", "a whole number from 0; 0 is no cap", "ENIs to have at most, the primary one included",
			number(0, 1000, func(c *Config, n int) { c.MaxENI = n }),
		},
		{
			"ENABLE_PREFIX_DELEGATION", "false", "true or false", "addresses come as /28 prefixes, on Nitro and bare metal; single ones where a subnet has no free /28",
			func(c *Config, v string) (err error) { c.Prefixes, err = strconv.ParseBool(v); return err },
		},
		{
			"WARM_PREFIX_TARGET", "1", "a whole number from 0", "wholly free prefixes to keep, with ENABLE_PREFIX_DELEGATION; without effect when WARM_IP_TARGET or MINIMUM_IP_TARGET is set",
			number(0, 1000, func(c *Config, n int) { c.WarmPrefix = n }),
		},
		{
			"MAX_PODS", "0", "a whole number from 0; 0 is what the instance carries", "addresses to have at most: the kubelet's maximum of pods; the last prefix may reach beyond it",
			number(0, 100000, func(c *Config, n int) { c.MaxPods = n }),
		},
		{
			"IP_COOLDOWN_PERIOD", "30", "seconds, a whole number from 0", "how long a freed address is not given to another pod",
			number(0, 86400, func(c *Config, n int) { c.Cooldown = time.Duration(n) * time.Second }),
		},
	}
}
