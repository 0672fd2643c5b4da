package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/vpcchain/vpcchain/daemon/internal/engine"
	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/pkg/cnierr"
	"github.com/vpcchain/vpcchain/pkg/ipamapi"
	"github.com/vpcchain/vpcchain/pkg/ipamclient"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// wantCode checks the CNI code that a runtime would read, and the text.
func wantCode(t *testing.T, err error, class cnierr.Class, texts ...string) {
	t.Helper()
	got, ok := errors.AsType[*types.Error](cnierr.From(err))
	if !ok || got.Code != uint(class) {
		t.Errorf("error %v, want one with code %d", cnierr.From(err), class)
		return
	}
	for _, s := range texts {
		if !strings.Contains(got.Msg, s) {
			t.Errorf("error %q does not say %q", got.Msg, s)
		}
	}
}

func TestLifeOfAnAddress(t *testing.T) {
	r := newRig(t, eni.Limits{ENIs: 2, IPv4PerENI: 10}, 3)
	a := r.mustAssign(t, "a")
	want := ipamclient.Address{
		Addr: netip.MustParseAddr("10.0.0.11"), Subnet: netip.MustParsePrefix("10.0.0.0/16"), Router: netip.MustParseAddr("10.0.0.1"),
		ENI: "eni-0", MAC: "02:00:00:00:00:00", MTU: 9001,
	}
	if d := cmp.Diff(want, a, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})); d != "" {
		t.Errorf("Assign (-want +got):\n%s", d)
	}
	if again := r.mustAssign(t, "a"); again != a {
		t.Errorf("asked again: %+v", again)
	}
	must(t, r.Check(t.Context(), att("a"), a.Addr))
	wantCode(t, r.Check(t.Context(), att("a"), a.Addr.Next()), cnierr.Internal, "holds 10.0.0.11, not 10.0.0.12")
	must(t, r.Release(t.Context(), att("a")))
	must(t, r.Release(t.Context(), att("a")))
	wantCode(t, r.Check(t.Context(), att("a"), a.Addr), cnierr.UnknownPod, "vpc/a/eth0", "holds no address")
	if b := r.mustAssign(t, "b"); b.Addr == a.Addr {
		t.Errorf("%s rests and was given out", b.Addr)
	}
}

func TestCollect(t *testing.T) {
	r := newRig(t, eni.Limits{ENIs: 2, IPv4PerENI: 10}, 3)
	a, b := r.mustAssign(t, "a"), r.mustAssign(t, "b")
	must(t, r.Collect(t.Context(), "other", nil))
	must(t, r.Check(t.Context(), att("a"), a.Addr))
	must(t, r.Collect(t.Context(), "vpc", []vpcnet.Attachment{att("b")}))
	wantCode(t, r.Check(t.Context(), att("a"), a.Addr), cnierr.UnknownPod)
	must(t, r.Check(t.Context(), att("b"), b.Addr))
	wantCode(t, r.Collect(t.Context(), "", nil), cnierr.Config, "would release every network's addresses")
	wantCode(t, r.Collect(t.Context(), "vpc", []vpcnet.Attachment{{Network: "vpc"}}), cnierr.Config)
	must(t, r.Check(t.Context(), att("b"), b.Addr))
}

func TestAttachmentsThatAreNone(t *testing.T) {
	r := newRig(t, eni.Limits{ENIs: 1, IPv4PerENI: 10}, 3)
	for _, a := range []vpcnet.Attachment{
		{},
		{Network: "vpc", ContainerID: "c"},
		{Network: "vpc", IfName: "eth0"},
		{ContainerID: "c", IfName: "eth0"},
		{Network: "vpc", ContainerID: "a/b", IfName: "eth0"},
		{Network: "v/pc", ContainerID: "a", IfName: "eth0"},
		{Network: "vpc", ContainerID: "a", IfName: "eth0/"},
	} {
		t.Run(a.Alias(), func(t *testing.T) {
			_, err := r.Assign(t.Context(), ipamclient.Request{Attachment: a})
			wantCode(t, err, cnierr.Config, fmt.Sprintf("%q", a.Alias()), "have no slash")
			wantCode(t, r.Release(t.Context(), a), cnierr.Config)
			wantCode(t, r.Check(t.Context(), a, netip.MustParseAddr("10.0.0.1")), cnierr.Config)
		})
	}
	if v := r.engine.View(); v.Pool.Total() != 3 || v.Waiters != 0 {
		t.Errorf("they left a trace: %+v", v)
	}
}

func TestConcurrentAssigns(t *testing.T) {
	const pods = 50
	r := newRig(t, eni.Limits{ENIs: 3, IPv4PerENI: 30}, 5)
	var mu sync.Mutex
	owner := map[netip.Addr]string{}
	var all sync.WaitGroup
	for i := range pods {
		id := fmt.Sprint(i)
		all.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			a, err := r.Assign(ctx, ipamclient.Request{Attachment: att(id)})
			mu.Lock()
			defer mu.Unlock()
			if other, twice := owner[a.Addr]; err != nil || twice {
				t.Errorf("pod %s got %s, %v; pod %q has it too", id, a.Addr, err, other)
			}
			owner[a.Addr] = id
		})
	}
	all.Wait()
	for addr, id := range owner {
		all.Go(func() {
			if err := r.Check(t.Context(), att(id), addr); err != nil {
				t.Error(err)
			}
			if err := r.Release(t.Context(), att(id)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if s := r.engine.View().Pool; len(owner) != pods || len(s.Lost) != 0 {
		t.Errorf("%d addresses for %d pods; lost %v", len(owner), pods, s.Lost)
	}
}

func TestFullInstance(t *testing.T) {
	r := newRig(t, eni.Limits{ENIs: 1, IPv4PerENI: 3}, 2)
	must(t, r.Status(t.Context()))
	r.mustAssign(t, "a")
	r.mustAssign(t, "b")
	eventually(t, "STATUS is 50", func() bool { return r.Status(t.Context()) != nil })
	wantCode(t, r.Status(t.Context()), cnierr.NotAvailable, "no free address", "2 used", "move pods to another node")

	// The plugin hears why, and what to do: the daemon answers before the plugin's own deadline.
	const wait = 500 * time.Millisecond
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	begin := time.Now()
	_, err := r.Assign(ctx, ipamclient.Request{Attachment: att("c")})
	if took := time.Since(begin); took < wait/2 {
		t.Errorf("gave up after %s of %s", took, wait)
	}
	wantCode(t, err, cnierr.TryAgain, "no free address for vpc/c/eth0", "2 used", "that is all a t3.small may have", "move pods to another node")
	eventually(t, "the waiter is gone", func() bool { return r.engine.View().Waiters == 0 })
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

func TestStatusLimited(t *testing.T) {
	r := newRig(t, eni.Limits{ENIs: 1, IPv4PerENI: 3}, 2)
	r.kernel.mu.Lock()
	r.kernel.degraded = []string{"rule 512 is another program's"}
	r.kernel.mu.Unlock()
	r.kernel.events <- struct{}{}
	eventually(t, "STATUS is 51", func() bool { return r.Status(t.Context()) != nil })
	wantCode(t, r.Status(t.Context()), cnierr.Limited, "rule 512 is another program's")
}

func TestPool(t *testing.T) {
	r := newRig(t, eni.Limits{ENIs: 1, IPv4PerENI: 4}, 3)
	r.mustAssign(t, "a")
	r.mustAssign(t, "b")
	must(t, r.Release(t.Context(), att("a")))
	conn, err := grpc.NewClient("unix:"+r.socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	must(t, err)
	defer func() { _ = conn.Close() }()
	got, err := ipamapi.NewAdminClient(conn).Pool(t.Context(), &ipamapi.PoolRequest{})
	must(t, err)
	total := got.GetTotals()
	if total.GetAddresses() != 3 || total.GetUsed() != 1 || total.GetCooling() != 1 || total.GetAvailable() != 1 {
		t.Errorf("totals %v", total)
	}
	e := got.GetEnis()[0]
	if e.GetEni().GetId() != "eni-0" || e.GetLink() != "eth0" || e.GetTable() != vpcnet.TableMain || !e.GetReady() || e.GetSubnet() != "10.0.0.0/16" {
		t.Errorf("ENI %v", e)
	}
	var states []string
	for _, a := range e.GetAddresses() {
		states = append(states, fmt.Sprintf("%s %s %s", a.GetAddress(), a.GetState(), a.GetPod().GetName()))
	}
	want := []string{"10.0.0.11 STATE_COOLING ", "10.0.0.12 STATE_USED b", "10.0.0.13 STATE_FREE "}
	if d := cmp.Diff(want, states); d != "" {
		t.Errorf("addresses (-want +got):\n%s", d)
	}
}

func TestListen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "not", "yet", "ipamd.sock")
	old, err := Listen(path)
	must(t, err)
	defer func() { _ = old.Close() }()
	info, err := os.Stat(path)
	must(t, err)
	if info.Mode().Perm() != 0o600 || info.Mode().Type() != os.ModeSocket {
		t.Errorf("mode %s", info.Mode())
	}
	// A daemon that died left its socket, and one that died while starting another.
	must(t, os.WriteFile(path+".new", nil, 0o600))
	l, err := Listen(path)
	must(t, err)
	must(t, old.Close())
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the old listener's end took the new one's socket: %v", err)
	}
	must(t, l.Close())
	must(t, os.Remove(path))
	must(t, os.MkdirAll(filepath.Join(path, "in the way"), 0o755))
	if _, err := Listen(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("listening where a directory is: %v", err)
	}
}

func TestToStatus(t *testing.T) {
	for err, want := range map[error]codes.Code{
		fmt.Errorf("x: %w", engine.ErrNoAddress):      codes.ResourceExhausted,
		fmt.Errorf("x: %w", engine.ErrUnknown):        codes.NotFound,
		fmt.Errorf("x: %w", context.Canceled):         codes.Unavailable,
		fmt.Errorf("x: %w", context.DeadlineExceeded): codes.Unavailable,
		errors.New("no space left on device"):         codes.Internal,
	} {
		if got := status.Convert(toStatus(err)); got.Code() != want || got.Message() != err.Error() {
			t.Errorf("toStatus(%v) = %v, want code %s", err, got, want)
		}
	}
	if toStatus(nil) != nil {
		t.Error("toStatus(nil) is an error")
	}
}

func TestServeAfterStop(t *testing.T) {
	l, err := Listen(filepath.Join(t.TempDir(), "run", "ipamd.sock"))
	must(t, err)
	s := grpc.NewServer()
	s.Stop()
	if err := Serve(s, l); err != nil {
		t.Error(err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener: %v, want it closed", err)
	}
}
