package main

import (
	"encoding/json"
	"strings"

	"github.com/vpcchain/vpcchain/pkg/cnierr"
	"github.com/vpcchain/vpcchain/pkg/netconf"
	"github.com/vpcchain/vpcchain/pkg/nodefacts"
	"github.com/vpcchain/vpcchain/pkg/snat"
)

// conf is the checked configuration.
type conf struct {
	version string
	facts   string    // path of the node facts
	wish    snat.Wish // what this conflist asks beyond them
	node    snat.Texts
}

func parse(stdin []byte) (conf, error) {
	var head struct {
		CNIVersion string `json:"cniVersion"`
		Name       string `json:"name"`
		NodeFacts  string `json:"nodeFacts"`
	}
	raw := map[string]json.RawMessage{}
	if err := netconf.Decode(stdin, &head); err != nil {
		return conf{}, err
	}
	if err := netconf.Decode(stdin, &raw); err != nil {
		return conf{}, err
	}
	c := conf{version: head.CNIVersion, facts: head.NodeFacts, wish: snat.Wish{Network: head.Name}}
	if c.facts == "" {
		c.facts = nodefacts.DefaultPath
	}
	for _, k := range snat.Keys() {
		value, ok := raw[k.Name]
		if !ok || string(value) == "null" {
			continue
		}
		text, err := asText(value)
		if err != nil {
			return conf{}, cnierr.New(cnierr.Config, "%s %s: %w; allowed: %s", k.Name, value, err, k.Allowed)
		}
		if c.wish.Texts == nil {
			c.wish.Texts = snat.Texts{}
		}
		c.wish.Texts[k.Name] = text
	}
	var err error
	if c.node, err = snat.NodeTexts(c.facts); err != nil {
		return conf{}, cnierr.As(cnierr.IO, err)
	}
	_, err = c.settings()
	return c, err
}

// settings are those that this conflist alone would give.
func (c conf) settings() (snat.Settings, error) {
	s, err := snat.Parse(c.node, c.wish.Texts)
	return s, cnierr.As(cnierr.Config, err)
}

// asText takes what the stock CNI's environment has as a string in the form that
// JSON has for it as well: a truth value, a number, a list.
func asText(raw json.RawMessage) (string, error) {
	var list []string
	if err := json.Unmarshal(raw, &list); err == nil {
		return strings.Join(list, ","), nil
	}
	var text string
	if err := json.Unmarshal(raw, &text); err == nil {
		return text, nil
	}
	var number json.Number
	if err := json.Unmarshal(raw, &number); err == nil {
		return number.String(), nil
	}
	var truth bool
	err := json.Unmarshal(raw, &truth)
	if truth {
		return "true", err
	}
	return "false", err
}
