package install

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/vpcchain/vpcchain/pkg/ipamapi"
	"github.com/vpcchain/vpcchain/pkg/snat"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// Settings of an installation.
type Settings struct {
	Sources   []string // directories that the plugins are taken from, the first that has one
	BinDir    string   // the runtime's directory of plugins
	ConfDir   string   // its directory of conflists
	TablesDir string   // iproute2's directory of routing tables' names
	File      string   // name of the conflist in ConfDir
	Retire    []string // others in ConfDir that the runtime is to use no more
	Socket    string   // of vpc-ipamd
	Wait      time.Duration
	DryRun    bool
	JSON      bool // the report of it
	Network   Network
}

// Option is one setting: a flag, and the environment variables that stand for it,
// under the stock AWS VPC CNI's names, the first that is set.
type Option struct {
	Flag    string
	Env     []string
	Default string
	Allowed string
	Effect  string

	truth bool // the flag needs no value
	set   func(s *Settings, value string) error
}

// Options lists every setting of an installation. self is the directory of the
// running binary.
func Options(self string) []Option {
	return slices.Concat(places(self), chain(), natOptions())
}

func places(self string) []Option {
	path := func(to func(*Settings) *string) func(*Settings, string) error {
		return func(s *Settings, v string) error {
			*to(s) = v
			return absolute(v)
		}
	}
	return []Option{
		{Flag: "source", Default: self + ":" + filepath.Join(self, "cni"), Allowed: "absolute paths, separated by colons", Effect: "where the plugins are copied from", set: sources},
		{Flag: "bin-dir", Env: []string{"HOST_CNI_BIN_PATH"}, Default: "/opt/cni/bin", Allowed: "an absolute path", Effect: "the runtime's directory of plugins", set: path(func(s *Settings) *string { return &s.BinDir })},
		{Flag: "conf-dir", Env: []string{"HOST_CNI_CONFDIR_PATH"}, Default: "/etc/cni/net.d", Allowed: "an absolute path", Effect: "the runtime's directory of conflists", set: path(func(s *Settings) *string { return &s.ConfDir })},
		{Flag: "rt-tables-dir", Default: "/etc/iproute2/rt_tables.d", Allowed: "an absolute path", Effect: "where iproute2 reads the names of routing tables", set: path(func(s *Settings) *string { return &s.TablesDir })},
		{Flag: "file", Default: "10-vpc.conflist", Allowed: "a file name that ends in .conflist", Effect: "the conflist's name: a runtime uses the first one by name", set: file},
		{Flag: "retire", Allowed: "file names, separated by commas", Effect: "conflists that the runtime is to use no more; uninstall brings them back", set: retire},
		{Flag: "socket", Default: ipamapi.DefaultSocket, Allowed: "an absolute path", Effect: "of vpc-ipamd", set: path(func(s *Settings) *string { return &s.Socket })},
		{Flag: "wait", Default: "2m", Allowed: "a duration, as 90s; 0 does not wait", Effect: "how long vpc-ipamd is waited for before the conflist is written", set: wait},
		{Flag: "dry-run", Default: "false", Allowed: "true or false", Effect: "say what would be done", truth: true, set: truth(func(s *Settings) *bool { return &s.DryRun })},
		{Flag: "json", Default: "false", Allowed: "true or false", Effect: "report as JSON, whose names are stable", truth: true, set: truth(func(s *Settings) *bool { return &s.JSON })},
	}
}

func chain() []Option {
	return []Option{
		{Flag: "name", Default: "vpc", Allowed: "letters, digits, dots, dashes, underscores", Effect: "the network's name; it is part of what each pod's link is known by", set: name},
		{Flag: "timeout", Allowed: "a duration, as 20s", Effect: "how long a pod waits for an address", set: timeout},
		{Flag: "veth-prefix", Env: []string{"AWS_VPC_K8S_CNI_VETHPREFIX"}, Allowed: "1 to 4 characters; not eth, vlan, lo", Effect: "prefix of the host veth names", set: func(s *Settings, v string) error { s.Network.VethPrefix = v; return vpcnet.CheckVethPrefix(v) }},
		{Flag: "mtu", Env: []string{"POD_MTU", "AWS_VPC_ENI_MTU"}, Allowed: "bytes, 576 to 9001", Effect: "MTU of the pods' links", set: mtu},
		{Flag: "pod-eni", Env: []string{"ENABLE_POD_ENI"}, Default: "false", Allowed: "true or false", Effect: "pods may have security groups of their own", truth: true, set: truth(func(s *Settings) *bool { return &s.Network.PodENI })},
		{Flag: "enforcing-mode", Env: []string{"POD_SECURITY_GROUP_ENFORCING_MODE"}, Allowed: "strict, standard", Effect: "how they apply", set: oneOf(func(s *Settings) *string { return &s.Network.Enforcing }, "strict", "standard")},
		{Flag: "bandwidth", Env: []string{"ENABLE_BANDWIDTH_PLUGIN"}, Default: "false", Allowed: "true or false", Effect: "upstream bandwidth in the chain", truth: true, set: truth(func(s *Settings) *bool { return &s.Network.Bandwidth })},
		{Flag: "portmap", Default: "true", Allowed: "true or false", Effect: "upstream portmap in the chain, for hostPort", truth: true, set: truth(func(s *Settings) *bool { return &s.Network.Portmap })},
		{Flag: "portmap-backend", Default: "nftables", Allowed: "nftables, iptables", Effect: "where portmap's rules are", set: oneOf(func(s *Settings) *string { return &s.Network.PortmapBackend }, "nftables", "iptables")},
		{Flag: "disable-pod-ipv6", Env: []string{"DISABLE_POD_V6"}, Default: "false", Allowed: "true or false", Effect: "upstream tuning in the chain turns IPv6 off in pods", truth: true, set: truth(func(s *Settings) *bool { return &s.Network.NoPodIPv6 })},
	}
}

// natOptions are those of vpc-snat that an operator sets: externalSNAT is --external-snat.
func natOptions() []Option {
	flags := map[string]string{
		"externalSNAT": "external-snat", "excludeSNATCIDRs": "exclude-snat-cidrs", "randomizeSNAT": "randomize-snat",
		"nodePortSupport": "node-port-support", "connmark": "connmark", "chainStyle": "snat-chain-style", "backend": "snat-backend",
	}
	var out []Option
	for _, k := range snat.Keys() {
		if k.Env == "" {
			continue
		}
		out = append(out, Option{
			Flag: flags[k.Name], Env: []string{k.Env}, Allowed: k.Allowed, Effect: k.Name + " of vpc-snat", truth: k.Allowed == "true or false",
			set: func(s *Settings, v string) error {
				if k.Allowed == "true or false" {
					b, err := strconv.ParseBool(v)
					if err != nil {
						return errors.New("not a truth value")
					}
					v = strconv.FormatBool(b)
				}
				if s.Network.SNAT == nil {
					s.Network.SNAT = snat.Texts{}
				}
				s.Network.SNAT[k.Name] = v
				return k.Check(v)
			},
		})
	}
	return out
}

// Parse reads the settings from the command line, else the environment. The error
// names every one that cannot be used, its value and what is allowed.
func Parse(args []string, getenv func(string) string, self string) (Settings, error) {
	options := Options(self)
	given := map[string]string{}
	fs := flag.NewFlagSet("install", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	for _, o := range options {
		take := func(v string) error { given[o.Flag] = v; return nil }
		if o.truth {
			fs.BoolFunc(o.Flag, "", take)
		} else {
			fs.Func(o.Flag, "", take)
		}
	}
	if err := fs.Parse(args); err != nil {
		return Settings{}, err
	}
	if fs.NArg() > 0 {
		return Settings{}, fmt.Errorf("%q is no flag", fs.Arg(0))
	}
	var s Settings
	var errs []error
	for _, o := range options {
		value, from := o.value(given, getenv)
		if value == "" && o.Default == "" {
			continue
		}
		if err := o.set(&s, value); err != nil {
			errs = append(errs, fmt.Errorf("%s=%q: %w; allowed: %s", from, value, err, o.Allowed))
		}
	}
	if s.Network.Enforcing != "" && !s.Network.PodENI {
		// The stock manifest sets the mode on every node; without branch ENIs it says nothing.
		s.Network.Enforcing = ""
	}
	if slices.Contains(s.Retire, s.File) {
		errs = append(errs, fmt.Errorf("--retire=%q: it is the conflist that is installed", s.File))
	}
	if err := errors.Join(errs...); err != nil {
		return Settings{}, err
	}
	return s, nil
}

// value is the option's text and where it comes from.
func (o Option) value(given map[string]string, getenv func(string) string) (value, from string) {
	if v, ok := given[o.Flag]; ok {
		return v, "--" + o.Flag
	}
	for _, name := range o.Env {
		if v := getenv(name); v != "" {
			return v, name
		}
	}
	return o.Default, "--" + o.Flag
}
