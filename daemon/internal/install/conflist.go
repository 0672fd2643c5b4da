package install

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/vpcchain/vpcchain/pkg/snat"
)

// Network is what the conflist says. What is zero is left out of it: the plugins
// then take it from vpc-ipamd, which reads the same environment names.
type Network struct {
	Name           string
	Timeout        string // of vpc-ipam
	VethPrefix     string
	MTU            int // of the pods' links, bytes
	SNAT           snat.Texts
	PodENI         bool   // pods may have security groups of their own
	Enforcing      string // of vpc-sgpp: strict or standard
	Bandwidth      bool
	Portmap        bool
	PortmapBackend string
	NoPodIPv6      bool
}

// annotations is the capability by which a runtime delivers a pod's annotations.
const annotations = "io.kubernetes.cri.pod-annotations"

// The plugins' objects, in the order of their keys in the file.
type (
	ipamPlugin struct {
		Type         string          `json:"type"`
		Timeout      string          `json:"timeout,omitempty"`
		PodENI       bool            `json:"podENI,omitempty"`
		Capabilities map[string]bool `json:"capabilities,omitempty"`
	}
	vethPlugin struct {
		Type       string `json:"type"`
		VethPrefix string `json:"vethPrefix,omitempty"`
		MTU        int    `json:"mtu,omitempty"`
	}
	sgppPlugin struct {
		Type string `json:"type"`
		Mode string `json:"enforcingMode,omitempty"`
	}
	capablePlugin struct {
		Type         string          `json:"type"`
		Capabilities map[string]bool `json:"capabilities"`
		SNAT         bool            `json:"snat,omitempty"`
		Backend      string          `json:"backend,omitempty"`
	}
	tuningPlugin struct {
		Type   string            `json:"type"`
		Sysctl map[string]string `json:"sysctl"`
	}
)

// plugins are the chain. What changes a pod's interface comes behind vpc-veth;
// portmap is last, as its rules lead to the address that the others have made.
func (n Network) plugins() []any {
	ipam := ipamPlugin{Type: "vpc-ipam", Timeout: n.Timeout, PodENI: n.PodENI}
	if n.PodENI {
		ipam.Capabilities = map[string]bool{annotations: true}
	}
	out := []any{ipam, vethPlugin{"vpc-veth", n.VethPrefix, n.MTU}, n.snat()}
	if n.PodENI {
		out = append(out, sgppPlugin{"vpc-sgpp", n.Enforcing})
	}
	if n.NoPodIPv6 {
		off := map[string]string{}
		for _, link := range []string{"all", "default", "lo"} {
			off["net.ipv6.conf."+link+".disable_ipv6"] = "1"
		}
		out = append(out, tuningPlugin{"tuning", off})
	}
	if n.Bandwidth {
		out = append(out, capablePlugin{Type: "bandwidth", Capabilities: map[string]bool{"bandwidth": true}})
	}
	if n.Portmap {
		out = append(out, capablePlugin{"portmap", map[string]bool{"portMappings": true}, true, n.PortmapBackend})
	}
	return out
}

// snat is the object of vpc-snat: the keys that were set, in the order of snat.Keys.
func (n Network) snat() json.RawMessage {
	var b strings.Builder
	b.WriteString(`{"type":"vpc-snat"`)
	for _, k := range snat.Keys() {
		v, ok := n.SNAT[k.Name]
		if !ok {
			continue
		}
		if v != "true" && v != "false" {
			v = quote(v)
		}
		b.WriteString("," + quote(k.Name) + ":" + v)
	}
	b.WriteString("}")
	return json.RawMessage(b.String())
}

func quote(s string) string {
	raw, err := json.Marshal(s)
	if err != nil {
		return `""` // a string is always encoded
	}
	return string(raw)
}

// Types are the plugins that the conflist names.
func (n Network) Types() ([]string, error) {
	var out []string
	for _, p := range n.plugins() {
		raw, err := json.Marshal(p)
		if err != nil {
			return nil, fmt.Errorf("writing the conflist: %w", err)
		}
		var head struct{ Type string }
		if err := json.Unmarshal(raw, &head); err != nil {
			return nil, fmt.Errorf("writing the conflist: %w", err)
		}
		out = append(out, head.Type)
	}
	return out, nil
}

// Conflist is the file. cniVersion 1.0.0 is what containerd 1.6 takes, which
// refuses a result of 1.1.0; a newer libcni takes the highest of cniVersions, and
// with it STATUS and GC.
func (n Network) Conflist() ([]byte, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "{\n  \"cniVersion\": \"1.0.0\",\n  \"cniVersions\": [\"1.0.0\", \"1.1.0\"],\n  \"name\": %s,\n  \"plugins\": [\n", quote(n.Name))
	for i, p := range n.plugins() {
		raw, err := json.Marshal(p)
		if err != nil {
			return nil, fmt.Errorf("writing the conflist: %w", err)
		}
		if i > 0 {
			b.WriteString(",\n")
		}
		b.WriteString("    " + spaced(raw))
	}
	b.WriteString("\n  ]\n}\n")
	return []byte(b.String()), nil
}

// spaced is JSON on one line with a blank where a person would put one.
func spaced(raw []byte) string {
	var b strings.Builder
	inside := false
	for i, c := range raw {
		if c == '"' && (i == 0 || raw[i-1] != '\\') {
			inside = !inside
		}
		switch {
		case inside:
			b.WriteByte(c)
		case c == ':' || c == ',' || c == '{':
			b.WriteByte(c)
			b.WriteByte(' ')
		case c == '}':
			b.WriteString(" }")
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}
