package unary

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/vpcchain/vpcchain/pkg/ipamapi"
)

const (
	method  = "/vpcchain.ipam.v1.IPAM/Release"
	patient = 20 * time.Second
)

// daemon is a service on grpc-go's server: it does with a Release what do says.
type daemon struct {
	ipamapi.UnimplementedIPAMServer
	do     func(context.Context, string) (string, error)
	socket string
	server *grpc.Server
}

func (d *daemon) Release(ctx context.Context, r *ipamapi.ReleaseRequest) (*ipamapi.ReleaseReply, error) {
	text, err := d.do(ctx, r.GetAttachment().GetNetwork())
	if err != nil {
		return nil, err
	}
	return &ipamapi.ReleaseReply{Address: text}, nil
}

func start(t *testing.T, do func(context.Context, string) (string, error), options ...grpc.ServerOption) *daemon {
	t.Helper()
	d := &daemon{do: do, socket: filepath.Join(t.TempDir(), "s"), server: grpc.NewServer(options...)}
	ipamapi.RegisterIPAMServer(d.server, d)
	l, err := net.Listen("unix", d.socket)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- d.server.Serve(l) }()
	t.Cleanup(func() {
		d.server.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return d
}

// call is a Release of the network, and the address that it answers.
func (d *daemon) call(ctx context.Context, network string) (string, error) {
	request, err := proto.Marshal(&ipamapi.ReleaseRequest{Attachment: &ipamapi.Attachment{Network: network}})
	if err != nil {
		return "", err
	}
	answer, err := Call(ctx, d.socket, method, request)
	if err != nil {
		return "", err
	}
	var r ipamapi.ReleaseReply
	err = proto.Unmarshal(answer, &r)
	return r.GetAddress(), err
}

func echo(_ context.Context, s string) (string, error) { return s, nil }

func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patient)
	t.Cleanup(cancel)
	return ctx
}

func wantStatus(t *testing.T, err error, code codes.Code, parts ...string) {
	t.Helper()
	got := StatusOf(err)
	if got.Code != code {
		t.Fatalf("%v, want %s", err, code)
	}
	for _, p := range parts {
		if !strings.Contains(got.Message, p) {
			t.Errorf("%q does not say %q", got.Message, p)
		}
	}
}

// Both windows of a connection are of 64 KiB at first, and a frame has 16 KiB.
func TestSizes(t *testing.T) {
	d := start(t, echo)
	for _, n := range []int{0, 1, maxFrame - 16, maxFrame, maxFrame + 1, firstWindow, firstWindow + 1, 1 << 20, 3 << 20} {
		text := strings.Repeat("x", n)
		if got, err := d.call(soon(t), text); err != nil || got != text {
			t.Errorf("%d bytes came back as %d, %v", n, len(got), err)
		}
	}
}

func TestTooLong(t *testing.T) {
	d := start(t, func(context.Context, string) (string, error) { return strings.Repeat("x", maxMessage), nil })
	_, err := d.call(soon(t), "")
	wantStatus(t, err, codes.ResourceExhausted, "more than 4194304")
	_, err = d.call(soon(t), strings.Repeat("x", maxMessage))
	wantStatus(t, err, codes.ResourceExhausted, "larger than max")
}

func TestEveryCode(t *testing.T) {
	for code := codes.Canceled; code <= codes.Unauthenticated; code++ {
		for _, text := range []string{"", "plain", "100 % of ä and 漢\n\x01, %41 stays", strings.Repeat("long ", 40000)} {
			d := start(t, func(context.Context, string) (string, error) { return "", status.Error(code, text) })
			_, err := d.call(soon(t), "")
			if got := StatusOf(err); got.Code != code || got.Message != text {
				t.Errorf("%s %.40q came as %s %.40q", code, text, got.Code, got.Message)
			}
			d.server.Stop()
		}
	}
}

func TestUnknownMethod(t *testing.T) {
	d := start(t, echo)
	_, err := Call(soon(t), d.socket, "/vpcchain.ipam.v1.IPAM/Nothing", nil)
	wantStatus(t, err, codes.Unimplemented, "Nothing")
}

// The server learns the deadline, a little later than the client's own.
func TestDeadlineIsTold(t *testing.T) {
	d := start(t, func(ctx context.Context, _ string) (string, error) {
		deadline, ok := ctx.Deadline()
		return fmt.Sprint(ok, " ", time.Until(deadline).Round(10*time.Second)), nil
	})
	if got, err := d.call(soon(t), ""); err != nil || got != "true 20s" {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := d.call(t.Context(), ""); err != nil || !strings.HasPrefix(got, "false") {
		t.Errorf("%q, %v", got, err)
	}
}

// hang answers when the caller goes away, and tells of it.
func hang(began, over chan struct{}) func(context.Context, string) (string, error) {
	return func(ctx context.Context, _ string) (string, error) {
		close(began)
		<-ctx.Done()
		close(over)
		return "", ctx.Err()
	}
}

func TestSlowServer(t *testing.T) {
	began, over := make(chan struct{}), make(chan struct{})
	d := start(t, hang(began, over))
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	begin := time.Now()
	_, err := d.call(ctx, "")
	wantStatus(t, err, codes.DeadlineExceeded)
	if took := time.Since(begin); took < 200*time.Millisecond || took > patient {
		t.Errorf("gave up after %s", took)
	}
	<-over
	_, err = d.call(ctx, "")
	wantStatus(t, err, codes.DeadlineExceeded, "deadline")
}

func TestCancel(t *testing.T) {
	began, over := make(chan struct{}), make(chan struct{})
	d := start(t, hang(began, over))
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-began; cancel() }()
	_, err := d.call(ctx, "")
	wantStatus(t, err, codes.Canceled, "canceled")
	select {
	case <-over:
	case <-time.After(patient):
		t.Error("the server goes on")
	}
}

func TestServerDies(t *testing.T) {
	began, over := make(chan struct{}), make(chan struct{})
	d := start(t, hang(began, over))
	go func() { <-began; d.server.Stop() }()
	_, err := d.call(soon(t), "")
	wantStatus(t, err, codes.Unavailable)
	<-over
	_, err = d.call(soon(t), "")
	wantStatus(t, err, codes.Unavailable, "no such file")
}

// A server that shuts down says so (GOAWAY), and answers what it has begun.
func TestServerShutsDown(t *testing.T) {
	began, finish := make(chan struct{}), make(chan struct{})
	d := start(t, func(context.Context, string) (string, error) { close(began); <-finish; return "last", nil })
	stopped := make(chan struct{})
	go func() {
		<-began
		go func() { d.server.GracefulStop(); close(stopped) }()
		time.Sleep(100 * time.Millisecond) // until the GOAWAY is on the wire
		close(finish)
	}()
	if got, err := d.call(soon(t), ""); err != nil || got != "last" {
		t.Errorf("%q, %v", got, err)
	}
	<-stopped
}

// A server whose client does not answer pings closes the connection.
func TestPings(t *testing.T) {
	d := start(t, func(context.Context, string) (string, error) {
		time.Sleep(2500 * time.Millisecond)
		return "alive", nil
	},
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: time.Second, Timeout: 500 * time.Millisecond}))
	if got, err := d.call(soon(t), ""); err != nil || got != "alive" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestManyAtOnce(t *testing.T) {
	d := start(t, echo)
	done := make(chan error)
	const n = 50
	for i := range n {
		go func() {
			text := strings.Repeat(fmt.Sprint(i), 5000)
			got, err := d.call(soon(t), text)
			if err == nil && got != text {
				err = errors.New("another's answer")
			}
			done <- err
		}()
	}
	for range n {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
