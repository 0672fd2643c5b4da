package placement

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const head = "apiVersion: crd.k8s.amazonaws.com/v1alpha1\nkind: ENIConfig\nmetadata: {name: us-west-2a}\n"

func TestParse(t *testing.T) {
	a := ENIConfig{"us-west-2a", "subnet-a", []string{"sg-1", "sg-2"}}
	b := ENIConfig{Name: "us-west-2b", Subnet: "subnet-b"}
	docA := head + "spec:\n  subnet: subnet-a\n  securityGroups: [sg-1, sg-2]\n"
	docB := strings.Replace(head, "2a", "2b", 1) + "spec: {subnet: subnet-b}\n"
	for name, tc := range map[string]struct {
		text string
		want []ENIConfig
		says []string // of the error
	}{
		"one":                       {docA, []ENIConfig{a}, nil},
		"two":                       {docA + "---\n" + docB, []ENIConfig{a, b}, nil},
		"separators and comments":   {"---\n# pods of zone a\n--- # first\n" + docA + "---   \n" + docB + "---\n", []ENIConfig{a, b}, nil},
		"JSON":                      {`{"apiVersion":"crd.k8s.amazonaws.com/v1alpha1","kind":"ENIConfig","metadata":{"name":"us-west-2b","uid":"1"},"spec":{"subnet":"subnet-b"}}`, []ENIConfig{b}, nil},
		"nothing":                   {"", nil, nil},
		"the good one beside a bad": {docA + "---\nkind: Pod\n", []ENIConfig{a}, []string{"document 2", `"Pod"`, "ENIConfig"}},
		"another kind":              {strings.Replace(docA, "ENIConfig", "ENIConfigs", 1), nil, []string{"ENIConfigs"}},
		"another version":           {strings.Replace(docA, "v1alpha1", "v1", 1), nil, []string{"crd.k8s.amazonaws.com/v1"}},
		"no name":                   {strings.Replace(docA, "{name: us-west-2a}", "{}", 1), nil, []string{"metadata.name"}},
		"no spec":                   {head, nil, []string{"us-west-2a", "spec.subnet"}},
		"no subnet":                 {head + "spec: {subnet: vpc-1}\n", nil, []string{"vpc-1", "subnet id"}},
		"a misspelt key":            {head + "spec: {subnet: subnet-a, securityGroup: [sg-1]}\n", nil, []string{"securityGroup"}},
		"a group's name":            {head + "spec: {subnet: subnet-a, securityGroups: [nodes]}\n", nil, []string{"nodes"}},
		"a key twice":               {head + "spec:\n  subnet: subnet-a\n  subnet: subnet-b\n", nil, []string{"subnet"}},
		"not YAML":                  {head + "spec: [", nil, []string{"document 1"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseAll([]byte(tc.text))
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			if (err != nil) != (tc.says != nil) {
				t.Errorf("error %v", err)
			}
			for _, s := range tc.says {
				if err != nil && !strings.Contains(err.Error(), s) {
					t.Errorf("%v does not say %q", err, s)
				}
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(head + "spec: {subnet: subnet-1}\n---\nkind: Pod\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		list, _ := parseAll(raw)
		for _, c := range list {
			if c.Name == "" || !strings.HasPrefix(c.Subnet, "subnet-") {
				t.Errorf("accepted %+v", c)
			}
		}
	})
}
