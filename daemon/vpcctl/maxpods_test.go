package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

func TestMaxPods(t *testing.T) {
	none := " --socket " + t.TempDir() + "/none.sock"
	var all bytes.Buffer
	for _, line := range []string{
		"max-pods t3.medium", "max-pods m5.24xlarge --prefix --pod-eni", "max-pods t2.medium", "max-pods m5.large --custom-networking --prefix --json",
	} {
		all.WriteString("$ vpcctl " + line + "\n")
		if code, err := run(t.Context(), strings.Fields(line+none), os.Getenv, &all); code != 0 || err != nil {
			t.Errorf("%s: %d, %v", line, code, err)
		}
	}
	golden(t, "max-pods.txt", all.String())
	for line, want := range map[string]string{
		"max-pods m5.huge":               "which has m5.12xlarge",
		"max-pods x0.large":              "aws ec2 describe-instance-types --instance-types x0.large",
		"max-pods":                       "name it",
		"max-pods t2.medium --prefix":    "is on xen",
		"max-pods t3.medium --pod-eni":   "no trunk",
		"max-pods instance_type":         "is not in the table",
		"max-pods t3.medium --json=nay":  "true or false",
		"max-pods t3.medium unnecessary": "takes no",
	} {
		var out bytes.Buffer
		code, err := run(t.Context(), strings.Fields(line+none), os.Getenv, &out)
		if code == 0 || err == nil || !strings.Contains(err.Error(), want) || out.Len() > 0 {
			t.Errorf("%s: %d, %v, %q; want %q", line, code, err, out.String(), want)
		}
	}
}
