package placement

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"sigs.k8s.io/yaml"
)

// ENIConfig is the stock daemon's resource of that kind.
type ENIConfig struct {
	Name   string
	Subnet string
	Groups []string // security groups; none: those of the primary ENI
}

// apiVersion and kind of the resource.
const (
	apiVersion = "crd.k8s.amazonaws.com/v1alpha1"
	kind       = "ENIConfig"
)

// parseAll reads the documents of a file. What is good is returned beside the
// errors of the rest.
func parseAll(raw []byte) ([]ENIConfig, error) {
	var out []ENIConfig
	var errs []error
	for i, doc := range regexp.MustCompile(`(?m)^---([ \t].*)?$`).Split(string(raw), -1) {
		c, ok, err := parse([]byte(doc))
		if err != nil {
			errs = append(errs, fmt.Errorf("document %d: %w", i+1, err))
		} else if ok {
			out = append(out, c)
		}
	}
	return out, errors.Join(errs...)
}

// parse reads one document; one with nothing in it is not there.
func parse(raw []byte) (c ENIConfig, there bool, err error) {
	text, err := yaml.YAMLToJSONStrict(raw)
	if err != nil {
		return c, false, err
	}
	if string(bytes.TrimSpace(text)) == "null" {
		return c, false, nil
	}
	var doc struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Metadata   struct {
			Name string `json:"name"`
		} `json:"metadata"`
		Spec json.RawMessage `json:"spec"`
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		return c, false, err
	}
	if doc.APIVersion != apiVersion || doc.Kind != kind {
		return c, false, fmt.Errorf("it is a %q of %q: write an %s of %s", doc.Kind, doc.APIVersion, kind, apiVersion)
	}
	if doc.Metadata.Name == "" {
		return c, false, errors.New("metadata.name is missing")
	}
	c, err = ParseSpec(doc.Metadata.Name, doc.Spec)
	return c, err == nil, err
}

// ParseSpec reads the JSON of a spec, and refuses what it does not know: a misspelt securityGroups must not
// put pods into the groups of the node.
func ParseSpec(name string, raw json.RawMessage) (ENIConfig, error) {
	var spec struct {
		Subnet         string   `json:"subnet"`
		SecurityGroups []string `json:"securityGroups"`
	}
	if len(raw) > 0 {
		d := json.NewDecoder(bytes.NewReader(raw))
		d.DisallowUnknownFields()
		if err := d.Decode(&spec); err != nil {
			return ENIConfig{}, fmt.Errorf("spec of %s: %w", name, err)
		}
	}
	if !strings.HasPrefix(spec.Subnet, "subnet-") {
		return ENIConfig{}, fmt.Errorf("spec.subnet of %s is %q: give a subnet id", name, spec.Subnet)
	}
	for _, g := range spec.SecurityGroups {
		if !strings.HasPrefix(g, "sg-") {
			return ENIConfig{}, fmt.Errorf("spec.securityGroups of %s: %q is not a security group id", name, g)
		}
	}
	return ENIConfig{name, spec.Subnet, spec.SecurityGroups}, nil
}
