package snat

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"path/filepath"
	"strings"

	"github.com/vpcchain/vpcchain/pkg/nodefacts"
)

// NodeTexts are the settings that the daemon's node facts give: what the node
// is, and what the operator wants. Without a file there are none.
func NodeTexts(path string) (Texts, error) {
	f, err := nodefacts.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Texts{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%w: restart vpc-ipamd, which writes the file", err)
	}
	t := Texts{"vpcCIDRs": join(f.VPCCIDRs), "primaryLink": f.PrimaryLink, "vethPrefix": f.VethPrefix}
	if f.PrimaryIP.IsValid() {
		t["nodeIP"] = f.PrimaryIP.String()
	}
	maps.Copy(t, f.SNAT)
	return t, nil
}

func join(ps []netip.Prefix) string {
	texts := make([]string, len(ps))
	for i, p := range ps {
		texts[i] = p.String()
	}
	return strings.Join(texts, ",")
}

// Load is the node's settings as they are now: the node facts at path, and over
// them what a conflist asked for.
func (k *Keeper) Load(facts string) (Settings, error) {
	node, err := NodeTexts(facts)
	if err != nil {
		return Settings{}, err
	}
	w, err := k.Wish()
	if err != nil {
		return Settings{}, err
	}
	return Parse(node, w.Texts)
}

// ForFacts keeps its records beside the node facts.
func ForFacts(path string) *Keeper { return New(filepath.Dir(path)) }
