package config

import (
	"fmt"
	"os"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
)

// ReadENIConfig reads where pods' ENIs go from a file in the form of the stock
// CNI's ENIConfig resource: spec.subnet and spec.securityGroups.
func ReadENIConfig(path string) (*eni.Placement, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("custom networking needs an ENIConfig: %w: write the file or set ENI_CONFIG_FILE", err)
	}
	p, err := parseENIConfig(raw)
	if err != nil {
		return nil, fmt.Errorf("reading the ENIConfig %s: %w", path, err)
	}
	return p, nil
}

func parseENIConfig(raw []byte) (*eni.Placement, error) {
	var doc struct {
		Kind string `json:"kind"`
		Spec struct {
			Subnet         string   `json:"subnet"`
			SecurityGroups []string `json:"securityGroups"`
		} `json:"spec"`
	}
	if err := yaml.Unmarshal(raw, &doc); err != nil {
		return nil, err
	}
	if doc.Kind != "ENIConfig" {
		return nil, fmt.Errorf("kind %q: ENIConfig is allowed", doc.Kind)
	}
	if !strings.HasPrefix(doc.Spec.Subnet, "subnet-") {
		return nil, fmt.Errorf("spec.subnet %q: give a subnet id", doc.Spec.Subnet)
	}
	for _, g := range doc.Spec.SecurityGroups {
		if !strings.HasPrefix(g, "sg-") {
			return nil, fmt.Errorf("spec.securityGroups: %q is not a security group id", g)
		}
	}
	return &eni.Placement{SubnetID: doc.Spec.Subnet, Groups: doc.Spec.SecurityGroups}, nil
}
