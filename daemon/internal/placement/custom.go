// Package placement says where new ENIs for pods go: with custom networking
// where an ENIConfig puts them, else into the subnets of the node's zone that
// are tagged for it. What exists already stays where it is.
package placement

import (
	"context"
	"fmt"
	"maps"
	"strings"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
)

// Configs are the ENIConfigs that there are: of a directory, or of Kubernetes.
type Configs interface {
	Get(name string) (ENIConfig, bool)
	Names() []string
	// Trouble says why some are missing, with the next step; nil: all were read.
	Trouble() error
	// Changes has a value after any of this changed.
	Changes() <-chan struct{}
}

// externalLabel is the stock daemon's label that overrules all else.
const externalLabel = "vpc.amazonaws.com/externalEniConfig"

// fallback is the name of the ENIConfig of nodes that name none.
const fallback = "default"

// Custom is custom networking.
type Custom struct {
	Configs       Configs
	LabelKey      string
	AnnotationKey string
	// Labels and Annotations of the node, beside the labels that follow from its metadata.
	Labels, Annotations map[string]string
	// Node has the labels and annotations that Kubernetes tells, which overrule
	// those; nil: nobody does.
	Node func() (labels, annotations map[string]string)
	// Hint ends the error of a missing ENIConfig: where to write one.
	Hint string
}

// Changes tells of other ENIConfigs.
func (c *Custom) Changes() <-chan struct{} { return c.Configs.Changes() }

// Places is the one place that the node's ENIConfig names.
func (c *Custom) Places(_ context.Context, node eni.Node) ([]eni.Placement, error) {
	names, because := c.names(node)
	for _, name := range names {
		if conf, ok := c.Configs.Get(name); ok {
			return []eni.Placement{{SubnetID: conf.Subnet, Groups: conf.Groups}}, nil
		}
	}
	there := "there is none"
	if all := c.Configs.Names(); len(all) > 0 {
		there = "there are " + strings.Join(all, ", ")
	}
	err := fmt.Errorf("custom networking needs the ENIConfig %s (%s), %s: %s", strings.Join(names, " or "), because, there, c.Hint)
	if trouble := c.Configs.Trouble(); trouble != nil {
		err = fmt.Errorf("%w; %w", err, trouble)
	}
	return nil, err
}

// names are the ENIConfigs that will do, the best first, and why these. One that
// an operator names on the node is meant: no other replaces it.
func (c *Custom) names(node eni.Node) (names []string, because string) {
	labels := map[string]string{
		"topology.kubernetes.io/zone": node.AZ, "topology.kubernetes.io/region": node.Region, "node.kubernetes.io/instance-type": node.InstanceType,
	}
	maps.Copy(labels, c.Labels)
	annotations := map[string]string{}
	maps.Copy(annotations, c.Annotations)
	if c.Node != nil {
		l, a := c.Node()
		maps.Copy(labels, l)
		maps.Copy(annotations, a)
	}
	for _, s := range []struct{ kind, key, value string }{
		{"label", externalLabel, labels[externalLabel]},
		{"annotation", c.AnnotationKey, annotations[c.AnnotationKey]},
		{"label", c.LabelKey, labels[c.LabelKey]},
	} {
		if s.value != "" {
			return []string{s.value}, fmt.Sprintf("by the node's %s %s", s.kind, s.key)
		}
	}
	because = "the node's zone, or the fallback; no label or annotation names one"
	if node.AZ == "" {
		return []string{fallback}, because
	}
	return []string{node.AZ, fallback}, because
}
