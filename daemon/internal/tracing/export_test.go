package tracing

import (
	"context"
	"log/slog"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	collectorv1 "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/vpcchain/vpcchain/pkg/flight"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// collector is a receiver of OTLP that can refuse.
type collector struct {
	collectorv1.UnimplementedTraceServiceServer

	mu       sync.Mutex
	refuse   codes.Code
	rejects  int64
	requests int
	keys     []string
	resource map[string]string
	spans    map[string]*tracev1.Span // by name
	scopes   []string
	came     chan struct{}
}

func (c *collector) Export(ctx context.Context, r *collectorv1.ExportTraceServiceRequest) (*collectorv1.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer func() {
		select {
		case c.came <- struct{}{}:
		default:
		}
	}()
	c.requests++
	if c.refuse != codes.OK {
		return nil, status.Error(c.refuse, "not now")
	}
	md, _ := metadata.FromIncomingContext(ctx)
	c.keys = md.Get("x-key")
	for _, rs := range r.GetResourceSpans() {
		c.resource = map[string]string{}
		for _, a := range rs.GetResource().GetAttributes() {
			c.resource[a.GetKey()] = a.GetValue().GetStringValue()
		}
		for _, ss := range rs.GetScopeSpans() {
			c.scopes = append(c.scopes, ss.GetScope().GetName())
			for _, s := range ss.GetSpans() {
				c.spans[s.GetName()] = s
			}
		}
	}
	return &collectorv1.ExportTraceServiceResponse{PartialSuccess: &collectorv1.ExportTracePartialSuccess{RejectedSpans: c.rejects, ErrorMessage: "too old"}}, nil
}

// set changes how the collector answers.
func (c *collector) set(refuse codes.Code, rejects int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refuse, c.rejects = refuse, rejects
}

// await waits for the collector to know something.
func (c *collector) await(t *testing.T, what string, known func() bool) {
	t.Helper()
	limit := time.After(20 * time.Second)
	for {
		c.mu.Lock()
		ok := known()
		c.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-c.came:
		case <-limit:
			t.Fatalf("the collector did not see %s", what)
		}
	}
}

// text is a log that a test reads.
type text struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *text) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *text) count(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), what)
}

// exporting starts a collector and an export to it.
func exporting(t *testing.T) (*collector, flight.Recorder, *text, func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &collector{spans: map[string]*tracev1.Span{}, came: make(chan struct{}, 1)}
	s := grpc.NewServer()
	collectorv1.RegisterTraceServiceServer(s, c)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	r := flight.Recorder{Dir: flight.Dir(t.TempDir())}
	if err := r.Make(); err != nil {
		t.Fatal(err)
	}
	r.Write(flight.Record{Traceparent: flight.New(), Kind: flight.Plugin, Name: "before", Start: time.Now(), Duration: 1})
	log := &text{}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- Export(ctx, r.Dir, Collector{
			Endpoint: &url.URL{Scheme: "http", Host: l.Addr().String()}, Headers: map[string]string{"x-key": "secret"},
			Resource: map[string]string{"service.name": "vpc-ipamd", "host.id": "i-1"}, Every: 5 * time.Millisecond,
		}, slog.New(slog.NewTextHandler(log, nil)))
	}()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		stop()
		s.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return c, r, log, stop
}

// put writes records until the export has begun to follow, which the test cannot see.
func put(t *testing.T, c *collector, r flight.Recorder, name string) {
	t.Helper()
	c.await(t, name, func() bool {
		r.Write(flight.Record{Traceparent: flight.New(), Kind: flight.Action, Name: name, Start: time.Now(), Duration: 1})
		select {
		case c.came <- struct{}{}:
		default:
		}
		return c.spans[name] != nil
	})
}

func TestExport(t *testing.T) {
	c, r, _, stop := exporting(t)
	put(t, c, r, "first")
	parent, _ := flight.Parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	add, other := parent.Child(), flight.New()
	begin := time.Unix(1700000000, 5)
	plugin := flight.Record{
		Traceparent: add, Parent: parent.Span, Kind: flight.Plugin, Name: "vpc-ipam", Verb: "ADD", Pod: "default/web",
		Attachment: vpcnet.Attachment{Network: "vpc", ContainerID: "c1", IfName: "eth0"}, Start: begin, Duration: time.Second, Code: "11", Error: "no address",
	}
	begun, unsampled := plugin, plugin
	begun.Begin, begun.Name = true, "begun"
	unsampled.Sampled, unsampled.Name = false, "unsampled"
	r.Write(begun, unsampled, plugin,
		flight.Record{Traceparent: add.Child(), Parent: add.Span, Kind: flight.Wait, Name: "address", Start: begin, Duration: 1, Links: []flight.Traceparent{other}},
		flight.Record{Traceparent: other, Kind: flight.EC2, Name: "CreateNetworkInterface", Start: begin, Duration: 1, RequestID: "r-1", Attempts: 3},
		flight.Record{Traceparent: add.Child(), Parent: add.Span, Kind: flight.RPC, Name: "Assign", Start: begin, Duration: 1},
	)
	stop() // the end of the daemon sends what is there
	c.mu.Lock()
	defer c.mu.Unlock()
	if names := slices.Sorted(maps.Keys(c.spans)); !slices.Equal(names, []string{"ADD vpc-ipam", "EC2/CreateNetworkInterface", "IPAM/Assign", "first", "wait for address"}) {
		t.Errorf("spans %q", names)
	}
	if !slices.Equal(c.keys, []string{"secret"}) || c.resource["host.id"] != "i-1" || !slices.Contains(c.scopes, "vpc-ipam") || !slices.Contains(c.scopes, daemonScope) {
		t.Errorf("keys %q, resource %v, scopes %q", c.keys, c.resource, c.scopes)
	}
	s := c.spans["ADD vpc-ipam"]
	got := map[string]string{}
	for _, a := range s.GetAttributes() {
		got[a.GetKey()] = a.GetValue().GetStringValue()
	}
	want := map[string]string{
		"cni.verb": "ADD", "cni.network": "vpc", "cni.container_id": "c1", "cni.ifname": "eth0", "k8s.namespace.name": "default", "k8s.pod.name": "web", "error.type": "11",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if string(s.GetTraceId()) != string(add.Trace[:]) || string(s.GetSpanId()) != string(add.Span[:]) || string(s.GetParentSpanId()) != string(parent.Span[:]) ||
		s.GetEndTimeUnixNano()-s.GetStartTimeUnixNano() != 1e9 || s.GetStartTimeUnixNano() != uint64(begin.UnixNano()) ||
		s.GetStatus().GetCode() != tracev1.Status_STATUS_CODE_ERROR || s.GetStatus().GetMessage() != "no address" {
		t.Errorf("%v", s)
	}
	if l := c.spans["wait for address"].GetLinks(); len(l) != 1 || string(l[0].GetSpanId()) != string(other.Span[:]) {
		t.Errorf("links %v", l)
	}
	if k := c.spans["EC2/CreateNetworkInterface"].GetKind(); k != tracev1.Span_SPAN_KIND_CLIENT {
		t.Errorf("kind %v", k)
	}
}

// What a collector cannot take now it gets later, what it will not take never; and
// the log says each once.
func TestCollectorAway(t *testing.T) {
	c, r, log, _ := exporting(t)
	put(t, c, r, "first")
	c.set(codes.Unavailable, 0)
	r.Write(flight.Record{Traceparent: flight.New(), Kind: flight.Action, Name: "late", Start: time.Now(), Duration: 1})
	before := 0
	c.await(t, "five attempts", func() bool {
		if before == 0 {
			before = c.requests
		}
		return c.requests >= before+5
	})
	c.set(codes.OK, 0)
	c.await(t, "what was held", func() bool { return c.spans["late"] != nil })
	c.set(codes.InvalidArgument, 0)
	r.Write(flight.Record{Traceparent: flight.New(), Kind: flight.Action, Name: "refused", Start: time.Now(), Duration: 1})
	c.mu.Lock()
	before = c.requests
	c.mu.Unlock()
	c.await(t, "one attempt", func() bool { return c.requests > before })
	c.set(codes.OK, 3)
	put(t, c, r, "after")
	c.set(codes.OK, 0)
	put(t, c, r, "at last")
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.spans["refused"] != nil {
		t.Error("what was refused came again")
	}
	if held, again := log.count("spans=held"), log.count("exporting traces again"); held != 1 || again < 1 {
		t.Errorf("the log says %d times held, %d times again:\n%s", held, again, log.b.String())
	}
}

// Nobody listens: the export ends when it is told to, and nothing piles up.
func TestNoCollector(t *testing.T) {
	r := flight.Recorder{Dir: flight.Dir(t.TempDir()), Size: 16 << 10}
	if err := r.Make(); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	endpoint := &url.URL{Scheme: "http", Host: l.Addr().String()}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	log := &text{}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- Export(ctx, r.Dir, Collector{Endpoint: endpoint, Every: time.Millisecond}, slog.New(slog.NewTextHandler(log, nil)))
	}()
	for log.count("spans=held") == 0 {
		for range 200 {
			r.Write(flight.Record{Traceparent: flight.New(), Kind: flight.Action, Name: "lost", Start: time.Now(), Duration: 1})
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestCertificate(t *testing.T) {
	endpoint := &url.URL{Scheme: "https", Host: "collector:4317"}
	for file, want := range map[string]string{t.TempDir() + "/none": "no such file", "export_test.go": "no certificate in PEM"} {
		err := Export(t.Context(), t.TempDir(), Collector{Endpoint: endpoint, Certificate: file}, slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", file, err, want)
		}
	}
}

// The answer is whatever somebody sent.
func FuzzRefused(f *testing.F) {
	f.Add([]byte{0x0a, 0x02, 0x08, 0x03})
	f.Add([]byte{0x0a, 0xff, 0x01})
	f.Fuzz(func(t *testing.T, raw []byte) {
		if err := refused(raw); err != nil && status.Code(err) != codes.InvalidArgument {
			t.Error(err)
		}
	})
}
