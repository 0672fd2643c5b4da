package config

import (
	"strings"
	"testing"
	"time"
)

func env(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

func TestDefaults(t *testing.T) {
	c, err := Parse(env())
	if err != nil {
		t.Fatal(err)
	}
	if c.WarmENI != 1 || c.Cooldown != 30*time.Second || c.ENIMTU != 9001 || c.VethPrefix != "eni" || c.External != nil {
		t.Errorf("defaults %+v", c)
	}
}

// A mistake names variable, value and what is allowed; all mistakes show at once.
func TestMistakes(t *testing.T) {
	_, err := Parse(env("WARM_ENI_TARGET", "many", "AWS_VPC_ENI_MTU", "100", "AWS_EXTERNAL_SERVICE_CIDRS", "10.0.0.0/8,x",
		"AWS_VPC_K8S_CNI_VETHPREFIX", "vlan", "AWS_VPC_K8S_CNI_LOGLEVEL", "LOUD", "MAX_ENI", "-1"))
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{
		`WARM_ENI_TARGET="many"`, `AWS_VPC_ENI_MTU="100"`, "576 to 9001", `AWS_EXTERNAL_SERVICE_CIDRS="10.0.0.0/8,x"`,
		`AWS_VPC_K8S_CNI_VETHPREFIX="vlan"`, `AWS_VPC_K8S_CNI_LOGLEVEL="LOUD"`, `MAX_ENI="-1"`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %s:\n%v", want, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("WARM_IP_TARGET", "3")
	f.Add("AWS_EXTERNAL_SERVICE_CIDRS", "10.0.0.0/8")
	f.Fuzz(func(t *testing.T, name, value string) {
		c, err := Parse(env(name, value))
		if err != nil && c.VethPrefix != "" {
			t.Fatal("an error came with a value")
		}
		if err == nil && (c.ENIMTU < 576 || c.Cooldown < 0 || c.WarmIP < 0) {
			t.Fatalf("accepted %s=%q: %+v", name, value, c)
		}
	})
}
