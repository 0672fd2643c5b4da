package main

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/pkg/flight"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// recorded is a state directory whose recorder has an ADD for each container, the
// second of which failed.
func recorded(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	r := flight.Recorder{Dir: flight.Dir(dir)}
	if err := r.Make(); err != nil {
		t.Fatal(err)
	}
	for i, id := range []string{"c0ffee01", "c0ffee02"} {
		rec := flight.Record{
			Traceparent: flight.New(), Kind: flight.Plugin, Name: "vpc-ipam", Verb: "ADD", Pod: "default/web-" + id[7:],
			Attachment: vpcnet.Attachment{Network: "vpc", ContainerID: id, IfName: "eth0"}, Start: time.Now(), Duration: 2 * time.Millisecond,
		}
		if i == 1 {
			rec.Code, rec.Error = "11", "no free address"
		}
		r.Write(rec)
	}
	return dir
}

func TestTrace(t *testing.T) {
	dir := recorded(t)
	for line, want := range map[string][]string{
		"trace":                {"ADD   2.00  ok            c0ffee01", "ADD   2.00  vpc-ipam: 11  c0ffee02"},
		"trace --last 1":       {"c0ffee02"},
		"trace c0ffee01":       {"ADD vpc/c0ffee01/eth0 default/web-1\n", "|========================|  vpc-ipam\n"},
		"trace default/web-2":  {"ADD vpc/c0ffee02/eth0", "vpc-ipam failed with code 11: no free address\n"},
		"trace c0ffee --last":  nil,
		"trace --last 0":       nil,
		"trace c0ffee":         nil,
		"trace default/nobody": nil,
	} {
		var out bytes.Buffer
		code, err := run(t.Context(), append(strings.Fields(line), "--state-dir="+dir), os.Getenv, &out)
		if (want == nil) != (err != nil) || (want == nil) != (code != 0) {
			t.Errorf("%s: %d, %v", line, code, err)
		}
		for _, w := range want {
			if !strings.Contains(out.String(), w) {
				t.Errorf("%s does not say %q:\n%s", line, w, out.String())
			}
		}
		if line == "trace --last 1" && strings.Contains(out.String(), "c0ffee01") {
			t.Errorf("%s:\n%s", line, out.String())
		}
	}
	_, err := run(t.Context(), []string{"trace", "c0ffee", "--state-dir", dir}, os.Getenv, &bytes.Buffer{})
	if err == nil || !strings.Contains(err.Error(), "c0ffee01, c0ffee02") {
		t.Errorf("the beginning of two ids: %v", err)
	}
}

func TestTraceJSON(t *testing.T) {
	dir := recorded(t)
	var out bytes.Buffer
	if code, err := run(t.Context(), []string{"trace", "c0ffee02", "--json", "--state-dir", dir}, os.Getenv, &out); code != 0 || err != nil {
		t.Fatal(code, err)
	}
	var v traceView
	if err := json.Unmarshal(out.Bytes(), &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Calls) != 1 || v.Calls[0].ContainerID != "c0ffee02" || v.Calls[0].State != "failed" || len(v.Calls[0].Spans) != 1 || v.Calls[0].Spans[0].Code != "11" {
		t.Errorf("%s", out.String())
	}
	// A node without a recorder has recorded nothing.
	out.Reset()
	if code, err := run(t.Context(), []string{"trace", "--json", "--state-dir", t.TempDir()}, os.Getenv, &out); code != 0 || err != nil || !strings.Contains(out.String(), `"calls": []`) {
		t.Errorf("%d, %v, %s", code, err, out.String())
	}
}
