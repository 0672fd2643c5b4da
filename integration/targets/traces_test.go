package targets

import (
	"context"
	"encoding/hex"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	collectorv1 "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
)

// collector receives OTLP.
type collector struct {
	collectorv1.UnimplementedTraceServiceServer

	mu    sync.Mutex
	spans map[string]*tracev1.Span // by name, the last one
	host  string
	came  chan struct{}
}

func (c *collector) Export(_ context.Context, r *collectorv1.ExportTraceServiceRequest) (*collectorv1.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, rs := range r.GetResourceSpans() {
		c.host = attribute(rs.GetResource().GetAttributes(), "host.id")
		for _, ss := range rs.GetScopeSpans() {
			for _, s := range ss.GetSpans() {
				c.spans[s.GetName()] = s
			}
		}
	}
	select {
	case c.came <- struct{}{}:
	default:
	}
	return &collectorv1.ExportTraceServiceResponse{}, nil
}

func attribute(all []*commonv1.KeyValue, key string) string {
	for _, a := range all {
		if a.GetKey() == key {
			return a.GetValue().GetStringValue()
		}
	}
	return ""
}

// span waits for one of that name.
func (c *collector) span(t *testing.T, name string) *tracev1.Span {
	t.Helper()
	over := time.After(limit)
	for {
		c.mu.Lock()
		s := c.spans[name]
		c.mu.Unlock()
		if s != nil {
			return s
		}
		select {
		case <-c.came:
		case <-over:
			c.mu.Lock()
			defer c.mu.Unlock()
			t.Fatalf("no span %q among %q", name, slices.Sorted(maps.Keys(c.spans)))
		}
	}
}

// A collector gets the plugin's span, the daemon's below it, and the EC2 calls,
// from the real programs.
func TestTracesAreExported(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &collector{spans: map[string]*tracev1.Span{}, came: make(chan struct{}, 1)}
	s := grpc.NewServer()
	collectorv1.RegisterTraceServiceServer(s, c)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	n := start(t, "m5.large", "OTEL_EXPORTER_OTLP_ENDPOINT=http://"+l.Addr().String(), "OTEL_RESOURCE_ATTRIBUTES=k8s.cluster.name=test")
	// A plugin looks for the recorder beside the socket, which this package has beside the state directory.
	dir := filepath.Dir(n.socket)
	if err := os.Symlink(filepath.Join(dir, "state", "trace"), filepath.Join(dir, "trace")); err != nil {
		t.Fatal(err)
	}
	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	cmd := exec.CommandContext(t.Context(), filepath.Join(n.bin, "vpc-ipam")) //nolint:gosec // the program under test
	cmd.Stdin = strings.NewReader(`{"cniVersion":"1.0.0","name":"vpc","type":"vpc-ipam","socket":"` + n.socket + `"}`)
	// Any other namespace than the plugin's own for the network does: it does not enter it.
	cmd.Env = append(n.env, "CNI_COMMAND=ADD", "CNI_CONTAINERID=traced", "CNI_IFNAME=eth0", "CNI_PATH=/", "CNI_NETNS=/proc/self/ns/uts", "CNI_NETNS_OVERRIDE=TRUE",
		"CNI_ARGS=K8S_POD_NAMESPACE=default;K8S_POD_NAME=web", "TRACEPARENT=00-"+trace+"-00f067aa0ba902b7-01")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	plugin, rpc, ec2 := c.span(t, "ADD vpc-ipam"), c.span(t, "IPAM/Assign"), c.span(t, "EC2/CreateNetworkInterface")
	if id := hex.EncodeToString(plugin.GetTraceId()); id != trace || hex.EncodeToString(plugin.GetParentSpanId()) != "00f067aa0ba902b7" || attribute(plugin.GetAttributes(), "k8s.pod.name") != "web" {
		t.Errorf("the plugin's span is of %s: %v", id, plugin)
	}
	if hex.EncodeToString(rpc.GetTraceId()) != trace || hex.EncodeToString(rpc.GetParentSpanId()) != hex.EncodeToString(plugin.GetSpanId()) {
		t.Errorf("the daemon's span is not below the plugin's: %v", rpc)
	}
	if hex.EncodeToString(ec2.GetTraceId()) == trace || attribute(ec2.GetAttributes(), "aws.request_id") == "" {
		t.Errorf("the EC2 call is %v", ec2)
	}
	if !strings.HasPrefix(c.host, "i-") {
		t.Errorf("host.id is %q", c.host)
	}
}
