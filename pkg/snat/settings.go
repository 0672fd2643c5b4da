package snat

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// Settings say what the node's outbound NAT is. The zero value is not valid;
// Parse makes one.
type Settings struct {
	External    bool           // no SNAT: something outside the node does it
	Exclude     []netip.Prefix // destinations that are not SNATed, besides the VPC's
	Randomize   string         // prng, hashrandom, none: the source ports
	NodePort    bool           // inbound NodePort and hostPort answer by the primary ENI
	Mark        uint32         // of connections that use the primary ENI; its own mask
	ChainStyle  string         // chain, flat: the shape of the iptables chains
	Backend     string         // auto, iptables, nftables
	VPCCIDRs    []netip.Prefix // in IMDS order
	NodeIP      netip.Addr     // primary private address of the node
	PrimaryLink string         // link of the primary ENI
	VethPrefix  string         // prefix of pods' host veths
}

// Key is one setting: its name in a conflist and, if it is the operator's, the
// environment variable of vpc-ipamd, under the stock AWS VPC CNI's name.
type Key struct {
	Name    string
	Env     string
	Default string
	Allowed string

	set func(s *Settings, text string) error
}

// Keys lists every setting.
func Keys() []Key {
	return []Key{
		{"externalSNAT", "AWS_VPC_K8S_CNI_EXTERNALSNAT", "false", "true or false", boolean(func(s *Settings, b bool) { s.External = b })},
		{"excludeSNATCIDRs", "AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS", "", "IPv4 CIDRs, separated by commas", prefixes(func(s *Settings, p []netip.Prefix) { s.Exclude = p })},
		{"randomizeSNAT", "AWS_VPC_K8S_CNI_RANDOMIZESNAT", "prng", "prng, hashrandom, none", oneOf(func(s *Settings, v string) { s.Randomize = v }, "prng", "hashrandom", "none")},
		{"nodePortSupport", "AWS_VPC_CNI_NODE_PORT_SUPPORT", "true", "true or false", boolean(func(s *Settings, b bool) { s.NodePort = b })},
		{"connmark", "AWS_VPC_K8S_CNI_CONNMARK", "0x80", "a 32-bit number from 1, such as 0x80", mark},
		{"chainStyle", "VPC_SNAT_CHAIN_STYLE", "chain", "chain, flat", oneOf(func(s *Settings, v string) { s.ChainStyle = v }, "chain", "flat")},
		{"backend", "VPC_SNAT_BACKEND", "iptables", "auto, iptables, nftables", oneOf(func(s *Settings, v string) { s.Backend = v }, "auto", "iptables", "nftables")},
		{"vpcCIDRs", "", "", "the VPC's IPv4 CIDRs", prefixes(func(s *Settings, p []netip.Prefix) { s.VPCCIDRs = p })},
		{"nodeIP", "", "", "the node's primary IPv4 address", address},
		{"primaryLink", "", "", "the link of the primary ENI, such as eth0", link},
		{"vethPrefix", "", vpcnet.VethPrefix, "1 to 4 characters; not eth, vlan, lo", veth},
	}
}

// Check says why text cannot be the setting's value, or nil.
func (k Key) Check(text string) error { return k.set(&Settings{}, text) }

// Texts are settings as an operator writes them, by Key.Name.
type Texts map[string]string

// Parse checks the settings; later texts overrule earlier ones, and an absent or
// empty one is the default. The error names each key, its value and what is allowed.
func Parse(layers ...Texts) (Settings, error) {
	var s Settings
	var errs []error
	for _, k := range Keys() {
		text := k.Default
		for _, l := range layers {
			if v := strings.TrimSpace(l[k.Name]); v != "" {
				text = v
			}
		}
		if err := k.set(&s, text); err != nil {
			errs = append(errs, fmt.Errorf("%s %q: %w; allowed: %s", k.Name, text, err, k.Allowed))
		}
	}
	return s, errors.Join(errs...)
}

// FromEnv reads the operator's settings through getenv. What is bad is named by
// its variable.
func FromEnv(getenv func(string) string) (Texts, error) {
	t := Texts{}
	var errs []error
	for _, k := range Keys() {
		if k.Env == "" || getenv(k.Env) == "" {
			continue
		}
		t[k.Name] = getenv(k.Env)
		if err := k.set(&Settings{}, t[k.Name]); err != nil {
			errs = append(errs, fmt.Errorf("%s=%q: %w; allowed: %s", k.Env, t[k.Name], err, k.Allowed))
		}
	}
	return t, errors.Join(errs...)
}

// Missing says which facts of the node are not known, or nil. Without SNAT only
// the link is needed.
func (s Settings) Missing() error {
	var missing []string
	if !s.External && len(s.VPCCIDRs) == 0 {
		missing = append(missing, "vpcCIDRs")
	}
	if !s.External && !s.NodeIP.IsValid() {
		missing = append(missing, "nodeIP")
	}
	if s.NodePort && s.PrimaryLink == "" {
		missing = append(missing, "primaryLink")
	}
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("%s unknown: start vpc-ipamd, which writes the node facts, or give them in the conflist", strings.Join(missing, ", "))
}

// Hash names the settings: equal hashes want the same kernel state.
func (s Settings) Hash() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%+v", s))
	return hex.EncodeToString(sum[:8])
}

// Internal are the destinations that keep the pod's own address and ENI, as
// disjoint prefixes in order.
func (s Settings) Internal() []netip.Prefix {
	all := slices.Concat(s.VPCCIDRs, s.Exclude)
	slices.SortFunc(all, func(a, b netip.Prefix) int { return a.Bits() - b.Bits() })
	var out []netip.Prefix
	for _, p := range all {
		// Wider first, so that what lies inside another is dropped.
		if !slices.ContainsFunc(out, p.Overlaps) {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b netip.Prefix) int { return a.Addr().Compare(b.Addr()) })
	return out
}

func boolean(set func(*Settings, bool)) func(*Settings, string) error {
	return func(s *Settings, text string) error {
		b, err := strconv.ParseBool(text)
		if err != nil {
			return errors.New("not a truth value")
		}
		set(s, b)
		return nil
	}
}

func oneOf(set func(*Settings, string), values ...string) func(*Settings, string) error {
	return func(s *Settings, text string) error {
		if !slices.Contains(values, text) {
			return errors.New("unknown")
		}
		set(s, text)
		return nil
	}
}

func prefixes(set func(*Settings, []netip.Prefix)) func(*Settings, string) error {
	return func(s *Settings, text string) error {
		var out []netip.Prefix
		for part := range strings.SplitSeq(text, ",") {
			if part = strings.TrimSpace(part); part == "" {
				continue
			}
			p, err := netip.ParsePrefix(part)
			if err != nil || !p.Addr().Is4() {
				return fmt.Errorf("%q is not an IPv4 CIDR", part)
			}
			if p = p.Masked(); !slices.Contains(out, p) {
				out = append(out, p)
			}
		}
		set(s, out)
		return nil
	}
}

func mark(s *Settings, text string) error {
	n, err := strconv.ParseUint(text, 0, 32)
	if err != nil || n == 0 {
		return errors.New("not a mark")
	}
	s.Mark = uint32(n)
	return nil
}

func address(s *Settings, text string) error {
	if text == "" {
		return nil
	}
	a, err := netip.ParseAddr(text)
	if err != nil || !a.Is4() {
		return errors.New("not an IPv4 address")
	}
	s.NodeIP = a
	return nil
}

// link takes what the kernel takes as a name (dev_valid_name), and no wildcard.
func link(s *Settings, text string) error {
	if len(text) > 15 || strings.ContainsAny(text, "/: \t+*\"") || text == "." || text == ".." {
		return errors.New("not a link's name")
	}
	s.PrimaryLink = text
	return nil
}

func veth(s *Settings, text string) error {
	s.VethPrefix = text
	return vpcnet.CheckVethPrefix(text)
}
