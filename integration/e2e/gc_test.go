package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/vpcchain/vpcchain/integration/lab"
)

// forgetful is the socket of a container runtime that knows no sandbox.
func forgetful(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "cri.sock")
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		if err := stream.RecvMsg(&emptypb.Empty{}); err != nil {
			return err
		}
		return stream.SendMsg(&emptypb.Empty{}) // no sandbox is in it
	}))
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return "unix://" + path
}

// swept is `vpcctl gc --json`.
type swept struct {
	Released, Kept []struct{ Address, Why string }
	Alive          int
	RuntimeAsked   bool
}

func gc(t *testing.T, l *lab.Lab, args ...string) (s swept) {
	t.Helper()
	out, err := l.Exec(t.Context(), "node-a", append([]string{l.Bin("vpcctl"), "gc", "--json"}, args...)...)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// An operator's gc does not wait: what kernel and runtime both do not know goes at
// once; a pod that the runtime has forgotten and that lives stays, and so does one
// that is young.
func TestGC(t *testing.T) {
	const grace = 5
	l := up(t, "")
	ctx := t.Context()
	daemon(t, l, "node-a", fmt.Sprintf("ORPHAN_GRACE_PERIOD=%d", grace), "CRI_SOCKET="+forgetful(t))
	conflist(t, l, "node-a", chain)
	add := func(name string) lab.Pod {
		t.Helper()
		p, err := l.AddPod(ctx, "node-a", "vpc", name)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	lives, dies := add("lives"), add("dies")
	born := time.Now()
	if err := lab.Poll(ctx, func() error {
		if age := time.Since(born); age <= grace*time.Second {
			return fmt.Errorf("it is %s old", age)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	young := add("young")
	for _, p := range []lab.Pod{dies, young} {
		if err := l.DelNetns(ctx, "node-a", p.Name); err != nil {
			t.Fatal(err)
		}
	}
	// The kernel takes a namespace's links down behind the removal of its name.
	if err := lab.Poll(ctx, func() error {
		for _, p := range []lab.Pod{dies, young} {
			if _, err := l.Exec(ctx, "node-a", "ip", "link", "show", p.HostEnd); err == nil {
				return fmt.Errorf("%s is there", p.HostEnd)
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"--dry-run"}, {}} {
		s := gc(t, l, args...)
		if len(s.Released) != 1 || s.Released[0].Address != dies.Addr.String() || s.Alive != 1 || !s.RuntimeAsked {
			t.Errorf("gc %v: %+v; want %s released", args, s, dies.Addr)
		}
		if len(s.Kept) != 1 || s.Kept[0].Address != young.Addr.String() || !strings.Contains(s.Kept[0].Why, "ADD may be under way") {
			t.Errorf("gc %v: %+v stay; want %s", args, s.Kept, young.Addr)
		}
	}
	if s := gc(t, l); len(s.Released) > 0 {
		t.Errorf("released again: %+v", s)
	}
	if _, err := l.CNITool(ctx, "check", lives); err != nil {
		t.Errorf("the pod that lives: %v", err)
	}
}
