// Package config reads vpc-ipamd's settings: the environment names of the stock
// AWS VPC CNI, with its defaults. Unlike there, a value that cannot be used
// stops the start and says which values can.
package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/vpcchain/vpcchain/pkg/snat"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// Config is the parsed environment. It does not change while the daemon runs.
type Config struct {
	WarmENI    int           // WARM_ENI_TARGET: whole spare ENIs to keep
	WarmIP     int           // WARM_IP_TARGET: spare addresses; 0 is off
	MinimumIP  int           // MINIMUM_IP_TARGET: floor of all addresses; 0 is off
	WarmPrefix int           // WARM_PREFIX_TARGET: wholly free prefixes to keep
	Prefixes   bool          // ENABLE_PREFIX_DELEGATION: the pool grows by /28 prefixes
	MaxENI     int           // MAX_ENI: cap below the instance's limit; 0 is none
	MaxPods    int           // MAX_PODS: addresses to have at most; 0 is what the instance carries
	Cooldown   time.Duration // IP_COOLDOWN_PERIOD: a freed address rests
	ENIMTU     int           // AWS_VPC_ENI_MTU, bytes
	VethPrefix string        // AWS_VPC_K8S_CNI_VETHPREFIX
	External   []netip.Prefix
	LogLevel   slog.Level
	Placing
	Recovering
	Cleaning
	Trunking
	Kubernetes
	Web
	Tracing
	SNAT snat.Texts // settings of the outbound NAT, under their conflist names
}

// Setting is one environment variable.
type Setting struct {
	Name    string
	Default string
	Allowed string
	Effect  string

	set func(c *Config, value string) error
}

// Group is what belongs together.
type Group struct {
	Title    string
	Settings []Setting
}

// Groups lists every variable that Parse reads; docs/configuration.md and the
// chart's schema are made from it.
func Groups() []Group {
	return []Group{
		{"How many addresses", sizing()},
		{"Where ENIs go", placing()},
		{"The node's network", network()},
		{"Security groups per pod", trunking()},
		{"Pods that were not seen to come or go", recovering()},
		{"Leftovers", cleaning()},
		{"Kubernetes", kubernetes()},
		{"Logs", logs()},
		{"Metrics, health, the picture of the node", web()},
		{"Traces", tracing()},
	}
}

// Settings are those of all groups.
func Settings() []Setting {
	var all []Setting
	for _, g := range Groups() {
		all = append(all, g.Settings...)
	}
	return all
}

func network() []Setting {
	return []Setting{
		{
			"AWS_VPC_ENI_MTU", strconv.Itoa(vpcnet.ENIMTU), "bytes, 576 to 9001", "MTU of the ENI links",
			number(576, vpcnet.ENIMTU, func(c *Config, n int) { c.ENIMTU = n }),
		},
		{
			"AWS_VPC_K8S_CNI_VETHPREFIX", vpcnet.VethPrefix, "1 to 4 characters; not eth, vlan, lo", "prefix of the host veth names",
			func(c *Config, v string) error { c.VethPrefix = v; return vpcnet.CheckVethPrefix(v) },
		},
		{"AWS_EXTERNAL_SERVICE_CIDRS", "", "IPv4 CIDRs, separated by commas", "destinations that always leave by the primary ENI", external},
	}
}

func logs() []Setting {
	return []Setting{{
		"AWS_VPC_K8S_CNI_LOGLEVEL", "INFO", "DEBUG, INFO, WARN, ERROR", "least level of the log lines",
		func(c *Config, v string) error { return c.LogLevel.UnmarshalText([]byte(v)) },
	}}
}

func number(least, most int, set func(*Config, int)) func(*Config, string) error {
	return func(c *Config, value string) error {
		n, err := strconv.Atoi(value)
		if err != nil {
			return errors.New("not a whole number")
		}
		if n < least || n > most {
			return fmt.Errorf("not from %d to %d", least, most)
		}
		set(c, n)
		return nil
	}
}

func external(c *Config, value string) error {
	for text := range strings.SplitSeq(value, ",") {
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		p, err := netip.ParsePrefix(text)
		if err != nil || !p.Addr().Is4() {
			return fmt.Errorf("%q is not an IPv4 CIDR", text)
		}
		c.External = append(c.External, p.Masked())
	}
	return nil
}

// Parse reads the settings through getenv; an empty value is the default. The
// error names every variable that cannot be used, its value and what is allowed.
func Parse(getenv func(string) string) (Config, error) {
	var c Config
	var errs []error
	for _, s := range Settings() {
		value := getenv(s.Name)
		if value == "" {
			value = s.Default
		}
		if err := s.set(&c, value); err != nil {
			errs = append(errs, fmt.Errorf("%s=%q: %w; allowed: %s", s.Name, value, err, s.Allowed))
		}
	}
	var err error
	if c.SNAT, err = snat.FromEnv(getenv); err != nil {
		errs = append(errs, err)
	}
	if len(errs) > 0 {
		return Config{}, errors.Join(errs...)
	}
	return c, nil
}
