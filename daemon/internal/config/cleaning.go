package config

import (
	"strconv"
	"time"
)

// Cleaning are the settings of what the daemon does about leftovers, its own
// and others'.
type Cleaning struct {
	KeepLeaks bool          // DISABLE_LEAKED_ENI_CLEANUP
	SpareFor  time.Duration // SPARE_ENI_PERIOD: an ENI of its own that is attached to nothing is kept
}

func cleaning() []Setting {
	return []Setting{{
		"SPARE_ENI_PERIOD", "120", "seconds, a whole number from 1",
		"how long an ENI of this node that is attached to nothing, after a failure or a restart, is kept for use before it is deleted",
		number(1, 86400, func(c *Config, n int) { c.SpareFor = time.Duration(n) * time.Second }),
	}, {
		"DISABLE_LEAKED_ENI_CLEANUP", "false", "true or false",
		"the cluster's ENIs that nodes left behind are not deleted; without CLUSTER_NAME they never are",
		func(c *Config, v string) (err error) { c.KeepLeaks, err = strconv.ParseBool(v); return err },
	}}
}
