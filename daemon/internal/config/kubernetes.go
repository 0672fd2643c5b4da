package config

import "strconv"

// Kubernetes are the settings of what vpc-kube reports.
type Kubernetes struct {
	ManageCordoned bool // AWS_MANAGE_ENIS_NON_SCHEDULABLE
}

func kubernetes() []Setting {
	return []Setting{{
		"AWS_MANAGE_ENIS_NON_SCHEDULABLE", "false", "true or false",
		"a node with the taint node.kubernetes.io/unschedulable keeps its warm pool like any other; without, it grows only for pods that ask, and gives no ENI back",
		func(c *Config, v string) (err error) { c.ManageCordoned, err = strconv.ParseBool(v); return err },
	}}
}
