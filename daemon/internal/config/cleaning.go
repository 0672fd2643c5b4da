package config

import "strconv"

// Cleaning are the settings of what the daemon does about others' leftovers.
type Cleaning struct {
	KeepLeaks bool // DISABLE_LEAKED_ENI_CLEANUP
}

func cleaning() []Setting {
	return []Setting{{
		"DISABLE_LEAKED_ENI_CLEANUP", "false", "true or false",
		"the cluster's ENIs that nodes left behind are not deleted; without CLUSTER_NAME they never are",
		func(c *Config, v string) (err error) { c.KeepLeaks, err = strconv.ParseBool(v); return err },
	}}
}
