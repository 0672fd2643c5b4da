package config

import (
	"errors"
	"net/netip"
	"strconv"
)

// Web is where the daemon's pages are.
type Web struct {
	MetricsAddr       netip.AddrPort // METRICS_BIND_ADDRESS: metrics and health
	NoMetrics         bool           // DISABLE_METRICS: /metrics is not there, health is
	IntrospectionAddr netip.AddrPort // INTROSPECTION_BIND_ADDRESS
	NoIntrospection   bool           // DISABLE_INTROSPECTION
}

const bindable = "an IP address and a port, as 127.0.0.1:61678; port 0 is any free one"

func web() []Setting {
	return []Setting{
		{
			"METRICS_BIND_ADDRESS", "127.0.0.1:61678", bindable, "where /metrics, /healthz and /readyz are served; whoever reaches it may read them",
			func(c *Config, v string) (err error) { c.MetricsAddr, err = address(v); return err },
		},
		{
			"DISABLE_METRICS", "false", "true or false", "/metrics is not served; /healthz and /readyz are",
			func(c *Config, v string) (err error) { c.NoMetrics, err = strconv.ParseBool(v); return err },
		},
		{
			"INTROSPECTION_BIND_ADDRESS", "127.0.0.1:61679", bindable, "where the picture of the node is served; whoever reaches it sees the names of its pods",
			func(c *Config, v string) (err error) { c.IntrospectionAddr, err = address(v); return err },
		},
		{
			"DISABLE_INTROSPECTION", "false", "true or false", "the picture of the node is not served",
			func(c *Config, v string) (err error) { c.NoIntrospection, err = strconv.ParseBool(v); return err },
		},
	}
}

func address(v string) (netip.AddrPort, error) {
	a, err := netip.ParseAddrPort(v)
	if err != nil {
		return netip.AddrPort{}, errors.New("not an address with a port")
	}
	return a, nil
}
