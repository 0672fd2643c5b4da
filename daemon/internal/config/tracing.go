package config

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
)

// Tracing says where traces are exported to, by the names of OpenTelemetry.
type Tracing struct {
	OTLP            *url.URL          // OTEL_EXPORTER_OTLP_ENDPOINT; nil: nowhere
	OTLPTraces      *url.URL          // OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, before the other
	OTLPHeaders     map[string]string // OTEL_EXPORTER_OTLP_HEADERS
	OTLPCertificate string            // OTEL_EXPORTER_OTLP_CERTIFICATE, a file
	ServiceName     string            // OTEL_SERVICE_NAME
	Resource        map[string]string // OTEL_RESOURCE_ATTRIBUTES
}

func tracing() []Setting {
	const endpoint = "http:// or https://, a host and a port; OTLP over gRPC"
	return []Setting{
		{
			"OTEL_EXPORTER_OTLP_ENDPOINT", "", endpoint, "the collector that gets the traces of the daemon and the plugins; empty: none",
			func(c *Config, v string) (err error) { c.OTLP, err = collector(v); return err },
		},
		{
			"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "", endpoint, "the same, for traces alone: it goes before the other",
			func(c *Config, v string) (err error) { c.OTLPTraces, err = collector(v); return err },
		},
		{
			"OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "grpc", "how the collector is spoken to; no other protocol is linked",
			func(_ *Config, v string) error {
				if v != "grpc" {
					return errors.New("not spoken here")
				}
				return nil
			},
		},
		{
			"OTEL_EXPORTER_OTLP_HEADERS", "", "key=value, separated by commas, values percent-encoded", "metadata of each request to the collector, such as a key",
			func(c *Config, v string) (err error) { c.OTLPHeaders, err = headers(v); return err },
		},
		{
			"OTEL_EXPORTER_OTLP_CERTIFICATE", "", "an absolute path", "PEM file of who signs the collector's certificate; empty: the system's",
			func(c *Config, v string) error {
				if c.OTLPCertificate = v; v != "" && !filepath.IsAbs(v) {
					return errors.New("not an absolute path")
				}
				return nil
			},
		},
		{
			"OTEL_SERVICE_NAME", "vpc-ipamd", "a name", "service.name of all spans",
			func(c *Config, v string) error { c.ServiceName = v; return nil },
		},
		{
			"OTEL_RESOURCE_ATTRIBUTES", "", "key=value, separated by commas, values percent-encoded", "attributes of all spans, such as k8s.cluster.name",
			func(c *Config, v string) (err error) { c.Resource, err = baggage(v); return err },
		},
	}
}

// Collector is where traces go; nil: nowhere.
func (t Tracing) Collector() *url.URL {
	if t.OTLPTraces != nil {
		return t.OTLPTraces
	}
	return t.OTLP
}

func collector(value string) (*url.URL, error) {
	if value == "" {
		return nil, nil //nolint:nilnil // an empty value is none, which is allowed
	}
	u, err := url.Parse(value)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.Port() == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
		return nil, errors.New("not such a URL")
	}
	return u, nil
}

// headers are those that gRPC can carry.
func headers(value string) (map[string]string, error) {
	all, err := baggage(value)
	for key, text := range all {
		bad := func(c rune) bool { return c < ' ' || c > '~' }
		if strings.Trim(strings.ToLower(key), "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "" || strings.ContainsFunc(text, bad) {
			return nil, fmt.Errorf("%q can be no header", key)
		}
	}
	return all, err
}

// baggage reads the list of OpenTelemetry's variables: W3C baggage without properties.
func baggage(value string) (map[string]string, error) {
	out := map[string]string{}
	for pair := range strings.SplitSeq(value, ",") {
		if pair = strings.TrimSpace(pair); pair == "" {
			continue
		}
		key, text, ok := strings.Cut(pair, "=")
		key = strings.TrimSpace(key)
		text, err := url.PathUnescape(strings.TrimSpace(text))
		if !ok || key == "" || err != nil {
			return nil, fmt.Errorf("%q is not key=value", pair)
		}
		out[key] = text
	}
	return out, nil
}
