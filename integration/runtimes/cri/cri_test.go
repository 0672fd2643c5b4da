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

// serve is a runtime with canned answers; it keeps the last request of each method.
func serve(t *testing.T, answers map[string]message) (*Client, map[string][]byte) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "cri.sock")
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	asked := map[string][]byte{}
	desc := &grpc.ServiceDesc{ServiceName: "runtime.v1.RuntimeService", HandlerType: (*any)(nil)}
	for method, text := range answers {
		desc.Methods = append(desc.Methods, grpc.MethodDesc{
			MethodName: method,
			Handler: func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
				in, out := &emptypb.Empty{}, &emptypb.Empty{}
				if err := decode(in); err != nil {
					return nil, err
				}
				asked[method] = in.ProtoReflect().GetUnknown()
				out.ProtoReflect().SetUnknown([]byte(text))
				return out, nil
			},
		})
	}
	s := grpc.NewServer()
	s.RegisterService(desc, nil)
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	c, err := New(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, asked
}

// What a request says is found again at the numbers of api.proto.
func TestRequests(t *testing.T) {
	c, asked := serve(t, map[string]message{
		"RunPodSandbox":   message(nil).text(1, "sandbox"),
		"CreateContainer": message(nil).text(1, "container"),
		"StartContainer":  nil,
	})
	p := Pod{
		Namespace: "ns", Name: "web", UID: "u-1", CgroupParent: "/group", LogDir: "/logs",
		Annotations: map[string]string{"b": "2", "a": ""}, Ports: []Port{{Host: 18080, Pod: 80}},
	}
	id, err := c.RunPod(t.Context(), p)
	if err != nil || id != "sandbox" {
		t.Fatalf("%q, %v", id, err)
	}
	config := only(t, asked["RunPodSandbox"], 1)
	metadata, port, linux := must(t, config, 1), must(t, config, 5), must(t, config, 8)
	annotations, err := config.pairs(7)
	if err != nil {
		t.Fatal(err)
	}
	if metadata.text(1) != "web" || metadata.text(2) != "u-1" || metadata.text(3) != "ns" || config.text(3) != "/logs" ||
		port.number(2) != 80 || port.number(3) != 18080 || linux.text(1) != "/group" || annotations["b"] != "2" || len(annotations) != 2 {
		t.Errorf("the runtime was told %v", config)
	}
	if id, err := c.StartContainer(t.Context(), "sandbox", p, "image", "serve", "80"); err != nil || id != "container" {
		t.Fatalf("%q, %v", id, err)
	}
	create := only(t, asked["CreateContainer"], 2)
	if args := create[4]; len(args) != 2 || string(args[1].bytes) != "80" || must(t, create, 2).text(1) != "image" {
		t.Errorf("the container was asked for as %v", create)
	}
	if started, err := read(asked["StartContainer"]); err != nil || started.text(1) != "container" {
		t.Errorf("started %v, %v", started, err)
	}
}

func only(t *testing.T, raw []byte, n protowire.Number) answer {
	t.Helper()
	a, err := read(raw)
	if err != nil {
		t.Fatal(err)
	}
	return must(t, a, n)
}

func must(t *testing.T, a answer, n protowire.Number) answer {
	t.Helper()
	all, err := a.inner(n)
	if err != nil || len(all) != 1 {
		t.Fatalf("field %d: %v, %v", n, all, err)
	}
	return all[0]
}

func TestAnswers(t *testing.T) {
	condition := func(name string, ok uint64, reason, text string) message {
		return message(nil).text(1, name).number(2, ok).text(3, reason).text(4, text)
	}
	c, _ := serve(t, map[string]message{
		"Status": message(nil).inner(1, message(nil).
			inner(1, condition("RuntimeReady", 1, "", "")).
			inner(1, condition("NetworkReady", 0, "NotReady", "no pool"))),
		"ListPodSandbox": message(nil).
			inner(1, message(nil).text(1, "up")).
			inner(1, message(nil).text(1, "down").number(3, 1)),
		"PodSandboxStatus": message(nil).inner(1, message(nil).inner(5, message(nil).text(1, "10.20.11.7"))),
		"ExecSync":         message(nil).text(1, "out").text(2, "err").number(3, 7),
		"Version":          message(nil).text(2, "containerd").text(3, "v2"),
	})
	conditions, err := c.Conditions(t.Context())
	if want := (Condition{false, "NotReady", "no pool"}); err != nil || conditions["NetworkReady"] != want || !conditions["RuntimeReady"].OK {
		t.Errorf("conditions %v, %v", conditions, err)
	}
	if pods, err := c.Pods(t.Context()); err != nil || len(pods) != 2 || !pods["up"] || pods["down"] {
		t.Errorf("pods %v, %v", pods, err)
	}
	if a, err := c.Address(t.Context(), "up"); err != nil || a.String() != "10.20.11.7" {
		t.Errorf("address %v, %v", a, err)
	}
	if _, err := c.Exec(t.Context(), "c", "false"); err == nil || !strings.Contains(err.Error(), "status 7: errout") {
		t.Errorf("a command that fails: %v", err)
	}
	if name, version, err := c.Version(t.Context()); err != nil || name != "containerd" || version != "v2" {
		t.Errorf("%s %s, %v", name, version, err)
	}
	if err := c.StopPod(t.Context(), "up"); err == nil || !strings.Contains(err.Error(), "StopPodSandbox") {
		t.Errorf("a method that the runtime lacks: %v", err)
	}
}

// An answer is read whole or not at all.
func FuzzRead(f *testing.F) {
	whole := message(nil).text(1, "a").number(2, 300).pairs(3, map[string]string{"k": "v"})
	f.Add([]byte(whole))
	f.Add([]byte(whole[:len(whole)-1]))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if a, err := read(raw); err != nil && a != nil {
			t.Fatalf("%v, %v", a, err)
		}
	})
}
