package config

import (
	"strings"
	"testing"
	"time"
)

func TestTrunking(t *testing.T) {
	c, err := Parse(env())
	if want := (Trunking{Enforcing: "strict", BranchCooldown: time.Minute, WarmBranches: 1}); err != nil || c.Trunking != want {
		t.Errorf("defaults %+v, %v", c.Trunking, err)
	}
	c, err = Parse(env("ENABLE_POD_ENI", "true", "POD_SECURITY_GROUP_ENFORCING_MODE", "standard", "BRANCH_ENI_COOLDOWN", "0", "WARM_BRANCH_ENI_TARGET", "3"))
	if want := (Trunking{PodENI: true, Enforcing: "standard", WarmBranches: 3}); err != nil || c.Trunking != want {
		t.Errorf("%+v, %v", c.Trunking, err)
	}
	for name, value := range map[string]string{
		"ENABLE_POD_ENI": "yes", "POD_SECURITY_GROUP_ENFORCING_MODE": "Strict", "BRANCH_ENI_COOLDOWN": "-1", "WARM_BRANCH_ENI_TARGET": "many",
	} {
		if _, err := Parse(env(name, value)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s=%s: %v", name, value, err)
		}
	}
}
