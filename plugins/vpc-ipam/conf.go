package main

import (
	"encoding/json"
	"path/filepath"
	"time"

	"github.com/vpcchain/vpcchain/pkg/cnierr"
	"github.com/vpcchain/vpcchain/pkg/netconf"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// pluginType is the name that a conflist calls the plugin by.
const pluginType = "vpc-ipam"

// defaultTimeout is how long an ADD waits for the pool to grow: an ENI takes
// EC2 about 5 s to make and attach, and kubelet waits longer than this.
const defaultTimeout = 20 * time.Second

// keys are the plugin's own: beside "type" in a chain, under "ipam" when it is
// another plugin's delegate.
type keys struct {
	Type    string `json:"type"`
	Socket  string `json:"socket"`
	Timeout string `json:"timeout"`
	PodENI  bool   `json:"podENI"`
}

// conf is the checked configuration.
type conf struct {
	version   string
	network   string
	delegated bool
	second    bool // another plugin's result came before
	socket    string
	timeout   time.Duration
	podENI    bool            // serves branch ENIs
	runtime   json.RawMessage // runtimeConfig, read by ADD alone
}

// spoolDir is beside the socket: the daemon looks there.
func (c conf) spoolDir() string { return filepath.Join(filepath.Dir(c.socket), "spool") }

func parse(stdin []byte) (conf, error) {
	var raw struct {
		CNIVersion string           `json:"cniVersion"`
		Name       string           `json:"name"`
		Prev       *json.RawMessage `json:"prevResult"`
		Runtime    json.RawMessage  `json:"runtimeConfig"`
		keys
		IPAM keys `json:"ipam"`
	}
	if err := netconf.Decode(stdin, &raw); err != nil {
		return conf{}, err
	}
	c := conf{version: raw.CNIVersion, network: raw.Name, delegated: raw.Type != pluginType && raw.IPAM.Type == pluginType}
	c.second = !c.delegated && raw.Prev != nil && string(*raw.Prev) != "null"
	own := raw.keys
	if c.delegated {
		own = raw.IPAM
	}
	c.podENI, c.runtime = own.PodENI, raw.Runtime
	if c.socket = own.Socket; c.socket == "" {
		c.socket = vpcnet.DefaultSocket
	}
	if !filepath.IsAbs(c.socket) {
		return conf{}, cnierr.New(cnierr.Config, "socket %q: give an absolute path", c.socket)
	}
	c.timeout = defaultTimeout
	if own.Timeout != "" {
		d, err := time.ParseDuration(own.Timeout)
		if err != nil || d <= 0 {
			return conf{}, cnierr.New(cnierr.Config, "timeout %q: give a positive duration such as \"20s\"", own.Timeout)
		}
		c.timeout = d
	}
	return c, nil
}
