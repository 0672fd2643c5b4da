package ipamclient

import (
	"context"
	"net"
	"path/filepath"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/vpcchain/vpcchain/pkg/ipamapi"
)

// The traceparent arrives as grpc-go's metadata, with every call.
func TestTraced(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	must(t, err)
	got := map[string][]string{}
	s := grpc.NewServer(grpc.UnaryInterceptor(func(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		md, _ := metadata.FromIncomingContext(ctx)
		got[info.FullMethod] = md.Get("traceparent")
		return next(ctx, req)
	}))
	ipamapi.RegisterIPAMServer(s, &daemon{})
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Stop()
		must(t, <-served)
	})
	const span = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	a, _ := att("vpc", "c1", "eth0")
	_, err = New(socket).Traced(span).Assign(t.Context(), Request{Attachment: a})
	must(t, err)
	must(t, New(socket).Traced(span).Release(t.Context(), a))
	for _, method := range []string{methodAssign, methodRelease} {
		if v := got[method]; len(v) != 1 || v[0] != span {
			t.Errorf("%s came with %q", method, v)
		}
	}
	must(t, New(socket).Traced("").Collect(t.Context(), "vpc", nil))
	if v := got[methodCollect]; len(v) != 0 {
		t.Errorf("a call outside a trace came with %q", v)
	}
}
