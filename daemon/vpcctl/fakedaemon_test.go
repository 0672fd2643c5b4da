package main

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/vpcchain/vpcchain/pkg/ipamapi"
)

// fakeDaemon answers with what a test gives it; what it has not is not served, as
// by a daemon of an older version.
type fakeDaemon struct {
	ipamapi.UnimplementedIPAMServer
	ipamapi.UnimplementedAdminServer
	status *ipamapi.StatusReply
	node   *ipamapi.NodeReply
	pool   *ipamapi.PoolReply
	pools  func() (*ipamapi.PoolReply, error) // in place of pool
	snat   *ipamapi.SnatReply
	sweep  func(*ipamapi.SweepRequest) (*ipamapi.SweepReply, error)
	drain  func(*ipamapi.DrainRequest) (*ipamapi.DrainReply, error)
}

func served[T any](reply *T) (*T, error) {
	if reply == nil {
		return nil, status.Error(codes.Unimplemented, "unknown method")
	}
	return reply, nil
}

func (f *fakeDaemon) Status(context.Context, *ipamapi.StatusRequest) (*ipamapi.StatusReply, error) {
	return served(f.status)
}

func (f *fakeDaemon) Node(context.Context, *ipamapi.NodeRequest) (*ipamapi.NodeReply, error) {
	return served(f.node)
}

func (f *fakeDaemon) Pool(context.Context, *ipamapi.PoolRequest) (*ipamapi.PoolReply, error) {
	if f.pools != nil {
		return f.pools()
	}
	return served(f.pool)
}

func (f *fakeDaemon) Snat(context.Context, *ipamapi.SnatRequest) (*ipamapi.SnatReply, error) {
	return served(f.snat)
}

func (f *fakeDaemon) Sweep(_ context.Context, r *ipamapi.SweepRequest) (*ipamapi.SweepReply, error) {
	return f.sweep(r)
}

func (f *fakeDaemon) Drain(_ context.Context, r *ipamapi.DrainRequest) (*ipamapi.DrainReply, error) {
	return f.drain(r)
}

// start serves until the test ends; ctl runs vpcctl with its socket and an empty
// state directory.
func (f *fakeDaemon) start(t *testing.T) (ctl func(line string) (out string, code int, err error)) {
	t.Helper()
	dir := t.TempDir()
	socket := filepath.Join(dir, "s")
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	ipamapi.RegisterIPAMServer(s, f)
	ipamapi.RegisterAdminServer(s, f)
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return func(line string) (string, int, error) {
		args := append(strings.Fields(line), "--socket", socket)
		if c, ok := find(args[0]); ok {
			for _, f := range c.flags {
				if f.name == "state-dir" {
					args = append(args, "--state-dir", dir)
				}
			}
		}
		var out bytes.Buffer
		code, err := run(t.Context(), args, os.Getenv, &out)
		return out.String(), code, err
	}
}
