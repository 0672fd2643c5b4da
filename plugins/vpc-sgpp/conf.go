package main

import (
	"cmp"
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"path/filepath"

	"github.com/vpcchain/vpcchain/pkg/cnierr"
	"github.com/vpcchain/vpcchain/pkg/netconf"
	"github.com/vpcchain/vpcchain/pkg/nodefacts"
	"github.com/vpcchain/vpcchain/pkg/sgpp"
)

// conf is the checked configuration of the conflist.
type conf struct {
	version  string
	network  string
	facts    string     // path of the node facts
	mode     string     // empty: of the node facts
	trunkMAC string     // empty: of prevResult or the node facts
	nodeIP   netip.Addr // invalid: of the node facts
}

func parse(stdin []byte) (conf, error) {
	var raw struct {
		CNIVersion string `json:"cniVersion"`
		Name       string `json:"name"`
		Mode       string `json:"enforcingMode"`
		TrunkMAC   string `json:"trunkMAC"`
		NodeIP     string `json:"nodeIP"`
		NodeFacts  string `json:"nodeFacts"`
	}
	if err := netconf.Decode(stdin, &raw); err != nil {
		return conf{}, err
	}
	c := conf{version: raw.CNIVersion, network: raw.Name, facts: cmp.Or(raw.NodeFacts, nodefacts.DefaultPath), mode: raw.Mode}
	if raw.Mode != "" {
		if err := sgpp.CheckMode(raw.Mode); err != nil {
			return conf{}, cnierr.New(cnierr.Config, "enforcingMode: %w", err)
		}
	}
	if raw.TrunkMAC != "" {
		mac, err := net.ParseMAC(raw.TrunkMAC)
		if err != nil {
			return conf{}, cnierr.New(cnierr.Config, "trunkMAC %q: give the MAC address of the trunk ENI", raw.TrunkMAC)
		}
		c.trunkMAC = mac.String()
	}
	if raw.NodeIP != "" {
		ip, err := netip.ParseAddr(raw.NodeIP)
		if err != nil || !ip.Is4() {
			return conf{}, cnierr.New(cnierr.Config, "nodeIP %q: give the node's primary IPv4 address", raw.NodeIP)
		}
		c.nodeIP = ip
	}
	return c, nil
}

// withFacts fills in what the daemon knows and the conflist does not say. Only a
// pod with a branch needs it.
func (c conf) withFacts() (conf, error) {
	f, err := nodefacts.Read(c.facts)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return c, cnierr.New(cnierr.IO, "%w: restart vpc-ipamd, which writes the file", err)
	}
	c.mode = cmp.Or(c.mode, f.EnforcingMode, nodefacts.ModeStrict)
	if err := sgpp.CheckMode(c.mode); err != nil {
		return c, cnierr.New(cnierr.IO, "node facts %s: %w", c.facts, err)
	}
	if c.trunkMAC == "" && f.Trunk != nil {
		c.trunkMAC = f.Trunk.MAC
	}
	if !c.nodeIP.IsValid() {
		c.nodeIP = f.PrimaryIP
	}
	return c, nil
}

// open takes the lock and the record beside the node facts.
func (c conf) open() (*sgpp.Keeper, error) {
	k, err := sgpp.Open(filepath.Dir(c.facts))
	return k, cnierr.As(cnierr.IO, err)
}
