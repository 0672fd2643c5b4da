package cri

import (
	"context"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/emptypb"
)

// sandbox is a PodSandbox with metadata and a state beside its id.
func sandbox(id string) []byte {
	var s []byte
	s = protowire.AppendTag(s, 1, protowire.BytesType)
	s = protowire.AppendString(s, id)
	s = protowire.AppendTag(s, 2, protowire.BytesType)
	s = protowire.AppendString(s, "metadata")
	s = protowire.AppendTag(s, 3, protowire.VarintType)
	return protowire.AppendVarint(s, 1)
}

func answerOf(ids ...string) []byte {
	var out []byte
	for _, id := range ids {
		out = protowire.AppendTag(out, fieldItems, protowire.BytesType)
		out = protowire.AppendBytes(out, sandbox(id))
	}
	return out
}

// serve is a runtime that has the sandboxes.
func serve(t *testing.T, answer []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "cri.sock")
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	list := func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		reply := &emptypb.Empty{}
		reply.ProtoReflect().SetUnknown(answer)
		return reply, decode(&emptypb.Empty{})
	}
	s.RegisterService(&grpc.ServiceDesc{
		ServiceName: "runtime.v1.RuntimeService", HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "ListPodSandbox", Handler: list}},
	}, nil)
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	return "unix://" + path
}

func TestSandboxes(t *testing.T) {
	for _, ids := range [][]string{nil, {"a"}, {"a", "b", strings.Repeat("c", 64)}} {
		c, err := New(serve(t, answerOf(ids...)))
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.Sandboxes(t.Context())
		c.Close()
		if err != nil || len(got) != len(ids) {
			t.Errorf("%q: %v, %v", ids, got, err)
		}
		for _, id := range ids {
			if !got[id] {
				t.Errorf("%s is not among %v", id, got)
			}
		}
	}
}

func TestNoRuntime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none.sock")
	c, err := New("unix://" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Sandboxes(t.Context()); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "CRI_SOCKET") {
		t.Errorf("without a runtime: %v", err)
	}
}

// An answer that is not whole is an error, and never "there are few sandboxes".
func FuzzParse(f *testing.F) {
	whole := answerOf("a", "bb")
	f.Add(whole)
	f.Add(whole[:len(whole)-1])
	f.Add([]byte{0x0a, 0x00})
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := parse(raw)
		if err != nil && got != nil || got[""] {
			t.Fatalf("%v, %v", got, err)
		}
	})
}
