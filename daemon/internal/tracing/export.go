package tracing

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"time"

	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/vpcchain/vpcchain/pkg/flight"
)

// Collector is who speaks OTLP over gRPC.
type Collector struct {
	Endpoint    *url.URL // http or https, a host and a port
	Headers     map[string]string
	Certificate string            // PEM file of who signs for https; empty: the system's
	Resource    map[string]string // attributes of all spans
	Every       time.Duration     // between two looks at the recorder; 0 is DefaultEvery
}

// DefaultEvery is how long a span waits for others, as OpenTelemetry's SDKs have it.
const DefaultEvery = 5 * time.Second

const (
	sendLimit = 10 * time.Second // of one request, OpenTelemetry's default
	lastLimit = time.Second      // of what is sent when the daemon ends
)

// exportMethod takes an ExportTraceServiceRequest, whose one field TracesData has
// too. The package of the former would link a gateway to HTTP.
const exportMethod = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"

// exporter sends the recorder's spans. What the collector has not taken is held
// once, 64 KB of lines at most; behind it the recorder's files are what waits, and
// what they lose while the collector is away is not exported.
type exporter struct {
	Collector

	conn     *grpc.ClientConn
	follower *flight.Follower
	held     *tracev1.TracesData
	away     bool // the last attempt failed, and the log says so
	log      *slog.Logger
}

// Export sends the spans that come into the recorder's directory from now on, the
// plugins' too, until ctx ends. It waits for nobody, and nobody for it: an error is
// one of the settings alone.
func Export(ctx context.Context, dir string, c Collector, log *slog.Logger) (err error) {
	creds, err := c.credentials()
	if err != nil {
		return err
	}
	conn, err := grpc.NewClient("dns:///"+c.Endpoint.Host, grpc.WithTransportCredentials(creds))
	if err != nil {
		return fmt.Errorf("exporting traces to %s: %w", c.Endpoint, err)
	}
	x := &exporter{Collector: c, conn: conn, follower: flight.Follow(dir, true), log: log}
	defer func() { err = errors.Join(err, x.follower.Close(), conn.Close()) }()
	if x.Every == 0 {
		x.Every = DefaultEvery
	}
	tick := time.NewTicker(x.Every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			x.flush(ctx, sendLimit)
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastLimit)
			defer cancel()
			x.flush(last, lastLimit)
			return nil
		}
	}
}

func (c Collector) credentials() (credentials.TransportCredentials, error) {
	if c.Endpoint.Scheme == "http" {
		return insecure.NewCredentials(), nil
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.Certificate != "" {
		raw, err := os.ReadFile(c.Certificate)
		if err != nil {
			return nil, fmt.Errorf("exporting traces to %s: reading who signs: %w", c.Endpoint, err)
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(raw) {
			return nil, fmt.Errorf("exporting traces to %s: %s has no certificate in PEM", c.Endpoint, c.Certificate)
		}
	}
	return credentials.NewTLS(conf), nil
}

// flush sends what there is, until the collector does not take it.
func (x *exporter) flush(ctx context.Context, limit time.Duration) {
	for ctx.Err() == nil {
		if x.held == nil {
			records, err := x.follower.Next()
			if err != nil {
				x.log.Warn("reading the flight recorder", "error", err)
			}
			if len(records) == 0 {
				return
			}
			if x.held = request(x.Resource, records); x.held == nil {
				continue
			}
		}
		err := x.send(ctx, limit)
		if err != nil && again(err) {
			x.tell(err, "held")
			return
		}
		x.tell(err, "dropped")
		x.held = nil
	}
}

// tell logs a change: a collector that is away for a day is one line.
func (x *exporter) tell(err error, spans string) {
	switch {
	case err != nil && !x.away:
		x.log.Warn("exporting traces", "collector", x.Endpoint.Host, "error", err, "spans", spans)
	case err == nil && x.away:
		x.log.Info("exporting traces again", "collector", x.Endpoint.Host)
	}
	x.away = err != nil
}

func (x *exporter) send(ctx context.Context, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(metadata.NewOutgoingContext(ctx, metadata.New(x.Headers)), limit)
	defer cancel()
	var answer emptypb.Empty // ExportTraceServiceResponse has one field, which stays unknown
	if err := x.conn.Invoke(ctx, exportMethod, x.held, &answer); err != nil {
		return err
	}
	return refused(answer.ProtoReflect().GetUnknown())
}

// again are the codes after which OTLP wants the same spans sent again.
func again(err error) bool {
	switch status.Code(err) {
	case codes.Canceled, codes.DeadlineExceeded, codes.ResourceExhausted, codes.Aborted, codes.OutOfRange, codes.Unavailable, codes.DataLoss:
		return true
	}
	return false
}

// refused reads an answer: its field 1 is how many spans were rejected (1), and why (2).
func refused(answer []byte) error {
	outer := fields(answer)
	inner := fields(outer[1].bytes)
	if n := inner[1].number; n > 0 {
		return status.Errorf(codes.InvalidArgument, "the collector rejected %d spans: %s", n, inner[2].bytes)
	}
	return nil
}

type field struct {
	number uint64
	bytes  []byte
}

// fields are those of a message, the last one of each number; none of what is no message.
func fields(b []byte) map[protowire.Number]field {
	out := map[protowire.Number]field{}
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return nil
		}
		b = b[n:]
		var f field
		switch typ {
		case protowire.VarintType:
			f.number, n = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			f.bytes, n = protowire.ConsumeBytes(b)
		default:
			n = protowire.ConsumeFieldValue(num, typ, b)
		}
		if n < 0 {
			return nil
		}
		out[num], b = f, b[n:]
	}
	return out
}
