package placement

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
)

// fakeConfigs has an ENIConfig of each subnet, by name.
type fakeConfigs struct {
	subnets map[string]string
	trouble error
}

func (f fakeConfigs) Get(name string) (ENIConfig, bool) {
	s, ok := f.subnets[name]
	return ENIConfig{name, s, []string{"sg-" + name}}, ok
}
func (f fakeConfigs) Names() []string          { return slices.Sorted(maps.Keys(f.subnets)) }
func (f fakeConfigs) Trouble() error           { return f.trouble }
func (f fakeConfigs) Changes() <-chan struct{} { return nil }

const key = "k8s.amazonaws.com/eniConfig"

func TestWhichENIConfig(t *testing.T) {
	type marks = map[string]string
	for name, tc := range map[string]struct {
		labels, annotations marks
		labelKey            string
		configs             string
		want                string // the config's name, or else words of the error
		says                []string
	}{
		"the zone":                     {configs: "az-a default", want: "az-a"},
		"the fallback":                 {configs: "az-b default", want: "default"},
		"the label":                    {labels: marks{key: "green"}, configs: "az-a green", want: "green"},
		"the annotation before it":     {labels: marks{key: "green"}, annotations: marks{key: "blue"}, configs: "blue green", want: "blue"},
		"the external one before all":  {labels: marks{key: "green", externalLabel: "red"}, annotations: marks{key: "blue"}, configs: "blue green red", want: "red"},
		"another key":                  {labels: marks{key: "green", "color": "blue"}, labelKey: "color", configs: "blue green", want: "blue"},
		"the zone's label":             {labelKey: "topology.kubernetes.io/zone", configs: "az-a default", want: "az-a"},
		"a zone that Kubernetes tells": {labels: marks{"topology.kubernetes.io/zone": "z"}, labelKey: "topology.kubernetes.io/zone", configs: "az-a z", want: "z"},
		"the type's label":             {labelKey: "node.kubernetes.io/instance-type", configs: "az-a m5.large", want: "m5.large"},
		"an empty label":               {labels: marks{key: ""}, configs: "az-a", want: "az-a"},
		"a named one that is missing": {
			labels: marks{key: "green"}, configs: "az-a default",
			says: []string{"ENIConfig green (by the node's label k8s.amazonaws.com/eniConfig)", "there are az-a, default", "write it there", "bad file"},
		},
		"none at all": {says: []string{"ENIConfig az-a or default", "there is none", "write it there"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := fakeConfigs{map[string]string{}, errors.New("bad file")}
			for n := range strings.FieldsSeq(tc.configs) {
				f.subnets[n] = "subnet-" + n
			}
			if tc.labelKey == "" {
				tc.labelKey = key
			}
			c := &Custom{Configs: f, LabelKey: tc.labelKey, AnnotationKey: key, Labels: tc.labels, Annotations: tc.annotations, Hint: "write it there"}
			got, err := c.Places(t.Context(), eni.Node{AZ: "az-a", InstanceType: "m5.large", SubnetID: "subnet-node"})
			if tc.want != "" {
				want := []eni.Placement{{SubnetID: "subnet-" + tc.want, Groups: []string{"sg-" + tc.want}}}
				if d := cmp.Diff(want, got); d != "" || err != nil {
					t.Errorf("%v (-want +got):\n%s", err, d)
				}
				return
			}
			if err == nil {
				t.Fatalf("got %+v", got)
			}
			for _, s := range tc.says {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("%q does not say %q", err, s)
				}
			}
		})
	}
}
