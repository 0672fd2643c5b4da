package placement

import (
	"strings"
	"testing"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
)

func TestBoth(t *testing.T) {
	b := Both{
		Directory:  fakeConfigs{subnets: map[string]string{"file": "subnet-1", "same": "subnet-2", "differs": "subnet-3"}},
		Kubernetes: fakeConfigs{subnets: map[string]string{"kube": "subnet-4", "same": "subnet-2", "differs": "subnet-5"}},
	}
	if got := strings.Join(b.Names(), " "); got != "file kube same" {
		t.Errorf("names %s", got)
	}
	for name, subnet := range map[string]string{"file": "subnet-1", "kube": "subnet-4", "same": "subnet-2", "differs": "", "none": ""} {
		if got, ok := b.Get(name); got.Subnet != subnet || ok != (subnet != "") {
			t.Errorf("%s is %+v, %v", name, got, ok)
		}
	}
	if err := b.Trouble(); err == nil || !strings.Contains(err.Error(), "differs is one thing in Kubernetes") {
		t.Errorf("trouble: %v", err)
	}
}

// Kubernetes overrules the operator's settings, label by label.
func TestLabelsOfKubernetes(t *testing.T) {
	type marks = map[string]string
	var labels, annotations marks
	c := Custom{
		Configs:  fakeConfigs{subnets: map[string]string{"green": "subnet-1", "blue": "subnet-2", "red": "subnet-3"}},
		LabelKey: key, AnnotationKey: key, Labels: marks{key: "green"}, Node: func() (marks, marks) { return labels, annotations },
	}
	for _, tc := range []struct {
		labels, annotations marks
		want                string
	}{
		{nil, nil, "subnet-1"},
		{marks{"other": "x"}, nil, "subnet-1"},
		{marks{key: "blue"}, nil, "subnet-2"},
		{marks{key: "blue"}, marks{key: "red"}, "subnet-3"},
	} {
		labels, annotations = tc.labels, tc.annotations
		got, err := c.Places(t.Context(), eni.Node{AZ: "az-a"})
		if err != nil || len(got) != 1 || got[0].SubnetID != tc.want {
			t.Errorf("%v, %v: %+v, %v, want %s", tc.labels, tc.annotations, got, err, tc.want)
		}
	}
}
