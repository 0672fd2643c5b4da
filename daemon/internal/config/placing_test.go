package config

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPlacingDefaults(t *testing.T) {
	c, err := Parse(env())
	if err != nil {
		t.Fatal(err)
	}
	want := Placing{
		ENIConfigDir: "/etc/vpc-cni/eniconfigs", LabelKey: "k8s.amazonaws.com/eniConfig", AnnotationKey: "k8s.amazonaws.com/eniConfig",
		Labels: map[string]string{}, Annotations: map[string]string{}, SubnetDiscovery: true, ENITags: map[string]string{},
	}
	if d := cmp.Diff(want, c.Placing); d != "" {
		t.Errorf("defaults (-want +got):\n%s", d)
	}
}

func TestPlacing(t *testing.T) {
	c, err := Parse(env("AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG", "true", "ENI_CONFIG_DIR", "/run/eniconfigs", "ENI_CONFIG_LABEL_DEF", "topology.kubernetes.io/zone",
		"NODE_LABELS", "a=1, b/c=x=y,", "NODE_ANNOTATIONS", "k8s.amazonaws.com/eniConfig=green", "ENABLE_SUBNET_DISCOVERY", "false",
		"CLUSTER_NAME", "prod", "ADDITIONAL_ENI_TAGS", `{"team":"net","empty":""}`))
	if err != nil {
		t.Fatal(err)
	}
	want := Placing{
		CustomNet: true, ENIConfigDir: "/run/eniconfigs", LabelKey: "topology.kubernetes.io/zone", AnnotationKey: "k8s.amazonaws.com/eniConfig",
		Labels: map[string]string{"a": "1", "b/c": "x=y"}, Annotations: map[string]string{"k8s.amazonaws.com/eniConfig": "green"},
		ClusterName: "prod", ENITags: map[string]string{"team": "net", "empty": ""},
	}
	if d := cmp.Diff(want, c.Placing); d != "" {
		t.Errorf("settings (-want +got):\n%s", d)
	}
}

func TestPlacingMistakes(t *testing.T) {
	many := make([]string, 46)
	for i := range many {
		many[i] = fmt.Sprintf(`"k%d":""`, i)
	}
	for _, tc := range []struct{ name, value, want string }{
		{"AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG", "maybe", "true or false"},
		{"ENABLE_SUBNET_DISCOVERY", "on", "true or false"},
		{"ENI_CONFIG_DIR", "eniconfigs", "not an absolute path"},
		{"NODE_LABELS", "a=1,b", `"b" is not key=value`},
		{"NODE_LABELS", "a=1,a=2", `"a" is given twice`},
		{"NODE_ANNOTATIONS", "=x", `"=x" is not key=value`},
		{"CLUSTER_NAME", strings.Repeat("x", 257), "longer than EC2's 256"},
		{"ADDITIONAL_ENI_TAGS", "team=net", "not a JSON object"},
		{"ADDITIONAL_ENI_TAGS", `["team"]`, "not a JSON object"},
		{"ADDITIONAL_ENI_TAGS", `{"team":1}`, "not a JSON object"},
		{"ADDITIONAL_ENI_TAGS", `{"node.k8s.amazonaws.com/no_manage":"true"}`, `"node.k8s.amazonaws.com/no_manage" is reserved`},
		{"ADDITIONAL_ENI_TAGS", `{"cluster.K8S.amazonaws.com/name":"b"}`, "is reserved"},
		{"ADDITIONAL_ENI_TAGS", `{"aws:x":"b"}`, `"aws:x" is reserved`},
		{"ADDITIONAL_ENI_TAGS", `{"eks:eni:owner":"me"}`, "is reserved"},
		{"ADDITIONAL_ENI_TAGS", `{"":"b"}`, "no key"},
		{"ADDITIONAL_ENI_TAGS", `{"` + strings.Repeat("k", 129) + `":"b"}`, "longer than EC2's 128"},
		{"ADDITIONAL_ENI_TAGS", `{"k":"` + strings.Repeat("v", 257) + `"}`, "longer than EC2's 256"},
		{"ADDITIONAL_ENI_TAGS", "{" + strings.Join(many, ",") + "}", "46 tags"},
	} {
		_, err := Parse(env(tc.name, tc.value))
		if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), tc.name+"=") {
			t.Errorf("%s=%s: %v, want it to say %q", tc.name, tc.value, err, tc.want)
		}
	}
}
