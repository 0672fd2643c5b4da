// Package branches runs pods with security groups of their own through the whole
// chain: the vpcsim, vpc-ipamd and plugin binaries, 802.1Q links, packets that
// the VPC lets through or refuses. It runs where the kernel has such links, see
// package vm; since a program takes long to start there, the runtime that calls
// the plugins and both ends of every conversation are threads of the test itself,
// in the namespaces of the hosts and pods.
package branches

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/vpcchain/vpcchain/integration/lab"
	"github.com/vpcchain/vpcchain/integration/vm"
	"github.com/vpcchain/vpcchain/integration/vpcsim/ec2"
	"github.com/vpcchain/vpcchain/integration/vpcsim/instance"
	"github.com/vpcchain/vpcchain/integration/vpcsim/server"
	"github.com/vpcchain/vpcchain/integration/vpcsim/topology"
	"github.com/vpcchain/vpcchain/pkg/ipamapi"
)

// world is a simulation of the test's own.
type world struct {
	*lab.Lab
	t    *testing.T
	dir  instance.Dir
	topo topology.Topology
}

func newWorld(t *testing.T, file string) *world {
	t.Helper()
	vm.RequireVLAN(t)
	bin, err := filepath.Abs("../../bin")
	must(t, err)
	if _, err := os.Stat(filepath.Join(bin, "vpcsim")); err != nil {
		t.Fatalf("%v: run `make build` first", err)
	}
	raw, err := os.ReadFile(file) //nolint:gosec // the test's own
	must(t, err)
	topo, err := topology.Parse(raw)
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	name := fmt.Sprintf("br%d", os.Getpid())
	l, err := lab.Up(ctx, bin, name, file)
	must(t, err)
	t.Cleanup(func() {
		if err := l.Down(); err != nil {
			t.Errorf("removing the simulation: %v", err)
		}
	})
	return &world{Lab: l, t: t, dir: instance.At(name), topo: topo}
}

// ask is a question to the simulation's server.
func (w *world) ask(ctx context.Context, method, path string, answer any) error {
	return server.Call(ctx, w.dir, method, path, nil, answer)
}

// enis are those of the kind in EC2.
func (w *world) enis(ctx context.Context, kind string) ([]ec2.Interface, error) {
	var all []ec2.Interface
	err := w.ask(ctx, "GET", "/enis", &all)
	return slices.DeleteFunc(all, func(e ec2.Interface) bool { return e.Kind != kind }), err
}

// books are what the daemon has of its trunk, as vpcctl shows it.
func (h *host) books(ctx context.Context) (*ipamapi.PoolTrunk, error) {
	conn, err := grpc.NewClient("unix:"+h.socket(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	r, err := ipamapi.NewAdminClient(conn).Pool(ctx, &ipamapi.PoolRequest{})
	return r.GetTrunk(), err
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually fails the test unless f succeeds within the limit.
func eventually(t *testing.T, limit time.Duration, f func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if err := lab.Poll(ctx, f); err != nil {
		t.Error(err)
	}
}
