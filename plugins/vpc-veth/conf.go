package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net/netip"
	"strconv"

	"github.com/vpcchain/vpcchain/pkg/cnierr"
	"github.com/vpcchain/vpcchain/pkg/netconf"
	"github.com/vpcchain/vpcchain/pkg/nodefacts"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// conf is the checked configuration: what the conflist says, else what the
// daemon wrote into the node facts.
type conf struct {
	version    string
	network    string
	vethPrefix string
	mtu        int        // 0: from prevResult or the node
	nodeIP     netip.Addr // source of the node's packets to pods; may be invalid
	nodeMTU    int        // of the primary link; 0: unknown
	hasFacts   bool       // a daemon looks after this node
	factsErr   error      // why the node facts could not be read; DEL and GC do without them
}

// The kernel's bounds for an IPv4 link; the upper one is an ENI's MTU.
const (
	minMTU = 576
	maxMTU = vpcnet.ENIMTU
)

func parse(stdin []byte) (conf, error) {
	var raw struct {
		CNIVersion string          `json:"cniVersion"`
		Name       string          `json:"name"`
		VethPrefix string          `json:"vethPrefix"`
		MTU        json.RawMessage `json:"mtu"`
		NodeIP     string          `json:"nodeIP"`
		NodeFacts  string          `json:"nodeFacts"`
	}
	if err := netconf.Decode(stdin, &raw); err != nil {
		return conf{}, err
	}
	c := conf{version: raw.CNIVersion, network: raw.Name, vethPrefix: raw.VethPrefix}
	c.factsErr = c.facts(raw.NodeFacts)
	if c.vethPrefix == "" {
		c.vethPrefix = vpcnet.VethPrefix
	}
	if err := vpcnet.CheckVethPrefix(c.vethPrefix); err != nil {
		return conf{}, cnierr.New(cnierr.Config, "vethPrefix: %w", err)
	}
	var err error
	if c.mtu, err = parseMTU(raw.MTU); err != nil {
		return conf{}, err
	}
	if raw.NodeIP != "" {
		if c.nodeIP, err = netip.ParseAddr(raw.NodeIP); err != nil || !c.nodeIP.Is4() {
			return conf{}, cnierr.New(cnierr.Config, "nodeIP %q: give the node's primary IPv4 address", raw.NodeIP)
		}
	}
	return c, nil
}

// facts fills in what the daemon knows; the conflist may overrule it.
func (c *conf) facts(path string) error {
	if path == "" {
		path = nodefacts.DefaultPath
	}
	f, err := nodefacts.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return cnierr.New(cnierr.IO, "%w: restart vpc-ipamd, which writes the file", err)
	}
	c.hasFacts, c.nodeIP, c.nodeMTU = true, f.PrimaryIP, f.PrimaryMTU
	if c.vethPrefix == "" {
		c.vethPrefix = f.VethPrefix
	}
	return nil
}

// parseMTU takes a number, or a string as the stock CNI's conflist has it.
func parseMTU(raw json.RawMessage) (int, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return 0, nil
	}
	text := string(raw)
	var s string
	if err := json.Unmarshal(raw, &s); err == nil {
		text = s
	}
	mtu, err := strconv.Atoi(text)
	if err != nil || mtu < minMTU || mtu > maxMTU {
		return 0, cnierr.New(cnierr.Config, "mtu %s: %d to %d bytes are allowed", raw, minMTU, maxMTU)
	}
	return mtu, nil
}
