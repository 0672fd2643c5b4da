package config

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestENIConfig(t *testing.T) {
	const head = "apiVersion: crd.k8s.amazonaws.com/v1alpha1\nkind: ENIConfig\nmetadata: {name: us-west-2a}\n"
	p, err := parseENIConfig([]byte(head + "spec:\n  subnet: subnet-pod-a\n  securityGroups: [sg-pods]\n"))
	if err != nil || p.SubnetID != "subnet-pod-a" || len(p.Groups) != 1 || p.Groups[0] != "sg-pods" {
		t.Errorf("%+v, %v", p, err)
	}
	for text, word := range map[string]string{
		"kind: Pod\n":                    "Pod",
		head:                             "spec.subnet",
		head + "spec: {subnet: vpc-1}\n": "vpc-1",
		head + "spec: [":                 "yaml",
		head + "spec: {subnet: subnet-1, securityGroups: [nodes]}\n": "nodes",
	} {
		if _, err := parseENIConfig([]byte(text)); err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%q: %v, want it to name %q", text, err, word)
		}
	}
	if _, err := ReadENIConfig(filepath.Join(t.TempDir(), "none")); err == nil || !strings.Contains(err.Error(), "ENI_CONFIG_FILE") {
		t.Errorf("no file: %v", err)
	}
}

func FuzzENIConfig(f *testing.F) {
	f.Add([]byte("kind: ENIConfig\nspec: {subnet: subnet-1}\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if p, err := parseENIConfig(raw); err == nil && p.SubnetID == "" {
			t.Error("no subnet and no error")
		}
	})
}
