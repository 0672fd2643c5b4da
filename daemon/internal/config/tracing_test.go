package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTracing(t *testing.T) {
	c, err := Parse(env())
	if err != nil || c.Collector() != nil || c.ServiceName != "vpc-ipamd" {
		t.Fatalf("%+v, %v", c.Tracing, err)
	}
	c, err = Parse(env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317", "OTEL_EXPORTER_OTLP_HEADERS", "X-Key=a%20b%2Cc, tenant=1",
		"OTEL_RESOURCE_ATTRIBUTES", "k8s.cluster.name=prod,empty=", "OTEL_SERVICE_NAME", "cni"))
	if err != nil || c.Collector().Host != "collector:4317" || c.ServiceName != "cni" {
		t.Fatalf("%+v, %v", c.Tracing, err)
	}
	if diff := cmp.Diff(map[string]string{"X-Key": "a b,c", "tenant": "1"}, c.OTLPHeaders); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]string{"k8s.cluster.name": "prod", "empty": ""}, c.Resource); diff != "" {
		t.Error(diff)
	}
	c, err = Parse(env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://all:4317", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://[::1]:443/"))
	if err != nil || c.Collector().String() != "https://[::1]:443/" {
		t.Errorf("%v, %v", c.Collector(), err)
	}
}

func TestTracingMistakes(t *testing.T) {
	for name, values := range map[string][]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT":    {"collector:4317", "http://collector", "ftp://collector:1", "http://:4317", "http://c:4317/v1/traces", "http://u:p@c:4317", "http://c:4317?x=1"},
		"OTEL_EXPORTER_OTLP_PROTOCOL":    {"http/protobuf"},
		"OTEL_EXPORTER_OTLP_HEADERS":     {"key", "=value", "key=%zz", "a b=c", "key=%0a", "key=ü"},
		"OTEL_EXPORTER_OTLP_CERTIFICATE": {"ca.pem"},
		"OTEL_RESOURCE_ATTRIBUTES":       {"key", "=x"},
	} {
		for _, v := range values {
			if _, err := Parse(env(name, v)); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%s=%q: %v", name, v, err)
			}
		}
	}
}
