package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
)

// Placing are the settings of where ENIs for pods go and how they are tagged.
type Placing struct {
	CustomNet       bool              // AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG
	ENIConfigDir    string            // ENI_CONFIG_DIR
	LabelKey        string            // ENI_CONFIG_LABEL_DEF
	AnnotationKey   string            // ENI_CONFIG_ANNOTATION_DEF
	Labels          map[string]string // NODE_LABELS
	Annotations     map[string]string // NODE_ANNOTATIONS
	SubnetDiscovery bool              // ENABLE_SUBNET_DISCOVERY
	ClusterName     string            // CLUSTER_NAME
	ENITags         map[string]string // ADDITIONAL_ENI_TAGS
}

// eniConfigKey is the stock daemon's default for the node's label and annotation.
const eniConfigKey = "k8s.amazonaws.com/eniConfig"

func placing() []Setting {
	return []Setting{
		{
			"AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG", "false", "true or false", "ENIs for pods go into the subnet and security groups of an ENIConfig, and the primary ENI carries no pods",
			func(c *Config, v string) (err error) { c.CustomNet, err = strconv.ParseBool(v); return err },
		},
		{
			"ENI_CONFIG_DIR", "/etc/vpc-cni/eniconfigs", "an absolute path", "directory with the ENIConfigs as YAML files; a change is seen within seconds and applies to new ENIs",
			func(c *Config, v string) error {
				c.ENIConfigDir = v
				if !filepath.IsAbs(v) {
					return errors.New("not an absolute path")
				}
				return nil
			},
		},
		{
			"ENI_CONFIG_LABEL_DEF", eniConfigKey, "the key of a label", "label of the node whose value names its ENIConfig",
			func(c *Config, v string) error { c.LabelKey = v; return nil },
		},
		{
			"ENI_CONFIG_ANNOTATION_DEF", eniConfigKey, "the key of an annotation", "annotation of the node whose value names its ENIConfig; it overrules the label",
			func(c *Config, v string) error { c.AnnotationKey = v; return nil },
		},
		{
			"NODE_LABELS", "", "key=value, separated by commas", "labels of the node where no Kubernetes tells them; its zone, region and instance type are known without",
			func(c *Config, v string) (err error) { c.Labels, err = pairs(v); return err },
		},
		{
			"NODE_ANNOTATIONS", "", "key=value, separated by commas", "annotations of the node where no Kubernetes tells them",
			func(c *Config, v string) (err error) { c.Annotations, err = pairs(v); return err },
		},
		{
			"ENABLE_SUBNET_DISCOVERY", "true", "true or false", "without custom networking: ENIs also go into the zone's subnets with the tag kubernetes.io/role/cni, those with the most free addresses first",
			func(c *Config, v string) (err error) { c.SubnetDiscovery, err = strconv.ParseBool(v); return err },
		},
		{
			"CLUSTER_NAME", "", "a name", "tag on the ENIs; subnets of other clusters are left out",
			func(c *Config, v string) error {
				c.ClusterName = v
				return checkTag("cluster.k8s.amazonaws.com/name", v)
			},
		},
		{
			"ADDITIONAL_ENI_TAGS", "{}", `a JSON object of strings such as {"team":"net"}; keys with k8s.amazonaws.com, eks:eni:owner and those that begin with aws: are reserved`,
			"more tags for the ENIs that are created", eniTags,
		},
	}
}

// pairs reads "k=v,k=v".
func pairs(text string) (map[string]string, error) {
	out := map[string]string{}
	for pair := range strings.SplitSeq(text, ",") {
		if pair = strings.TrimSpace(pair); pair == "" {
			continue
		}
		key, value, ok := strings.Cut(pair, "=")
		if !ok || key == "" {
			return nil, fmt.Errorf("%q is not key=value", pair)
		}
		if _, twice := out[key]; twice {
			return nil, fmt.Errorf("%q is given twice", key)
		}
		out[key] = value
	}
	return out, nil
}

// EC2's limits of tags: 50 on a resource, of which the daemon needs some.
const (
	maxENITags  = 45
	maxTagKey   = 128
	maxTagValue = 256
)

func eniTags(c *Config, text string) error {
	if err := json.Unmarshal([]byte(text), &c.ENITags); err != nil {
		return fmt.Errorf("not a JSON object of strings: %w", err)
	}
	if len(c.ENITags) > maxENITags {
		return fmt.Errorf("%d tags are more than the %d that EC2 leaves", len(c.ENITags), maxENITags)
	}
	for key, value := range c.ENITags {
		switch lower := strings.ToLower(key); {
		case strings.Contains(lower, "k8s.amazonaws.com"), strings.HasPrefix(lower, "aws:"), lower == "eks:eni:owner":
			return fmt.Errorf("the key %q is reserved", key)
		}
		if err := checkTag(key, value); err != nil {
			return err
		}
	}
	return nil
}

func checkTag(key, value string) error {
	switch n, m := len([]rune(key)), len([]rune(value)); {
	case n == 0:
		return errors.New("a tag has no key")
	case n > maxTagKey:
		return fmt.Errorf("the key %q is longer than EC2's %d characters", key, maxTagKey)
	case m > maxTagValue:
		return fmt.Errorf("the value of %q is longer than EC2's %d characters", key, maxTagValue)
	}
	return nil
}
