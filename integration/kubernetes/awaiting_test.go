package kubernetes

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/integration/lab"
	"github.com/vpcchain/vpcchain/integration/runtimes"
)

// Pod is what the suite reads of a pod.
type Pod struct {
	Metadata struct{ Name, Namespace, UID string }
	Status   struct {
		Phase             string
		PodIP             string
		Conditions        []Condition
		ContainerStatuses []struct {
			Ready        bool
			RestartCount int
			ContainerID  string
		}
	}
}

// Condition is one of a pod or a node.
type Condition struct{ Type, Status, Reason, Message string }

func (p Pod) is(condition string) bool { return find(p.Status.Conditions, condition).Status == "True" }

func find(all []Condition, kind string) Condition {
	for _, c := range all {
		if c.Type == kind {
			return c
		}
	}
	return Condition{}
}

// simplePod is a pod with one container that serves 8080; container adds to it.
func simplePod(name string, container Object) Object {
	one := Object{"name": "probe", "image": runtimes.Image, "imagePullPolicy": "Never", "args": []string{"pod"}}
	maps.Copy(one, container)
	return Object{
		"apiVersion": "v1", "kind": "Pod", "metadata": Object{"name": name, "namespace": "default"},
		"spec": Object{
			"nodeName": nodeName, "automountServiceAccountToken": false, "terminationGracePeriodSeconds": 1,
			"containers": []Object{one},
		},
	}
}

// await polls the pod until ok says so.
func (c *cluster) await(t *testing.T, path, what string, d time.Duration, ok func(Pod) bool) Pod {
	t.Helper()
	var p Pod
	err := lab.Poll(limited(t, d), func() error {
		p = Pod{}
		if err := c.api.Get(t.Context(), path, &p); err != nil {
			return err
		}
		if !ok(p) {
			if p.Status.Phase == "Failed" {
				return lab.Permanent(fmt.Errorf("%s failed: %s", path, c.logs(p)))
			}
			return fmt.Errorf("%s is not %s: %+v", path, what, p.Status)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// logs is what the pod's containers have written, as the kubelet keeps it.
func (c *cluster) logs(p Pod) string {
	var out strings.Builder
	files, _ := filepath.Glob(filepath.Join(c.lab.RunDir(nodeName), "kubernetes/logs", p.Metadata.Namespace+"_"+p.Metadata.Name+"_*", "*", "*.log"))
	for _, f := range files {
		raw, err := os.ReadFile(f)
		fmt.Fprintf(&out, "\n%s: %v\n%s", f, err, tail(string(raw)))
	}
	return out.String()
}

func running(p Pod) bool { return p.Status.Phase == "Running" && p.Status.PodIP != "" }
func ready(p Pod) bool   { return running(p) && p.is("Ready") }

// remove deletes the pod and waits until it has gone.
func (c *cluster) remove(t *testing.T, path string) {
	t.Helper()
	if err := c.api.Delete(t.Context(), path); err != nil && Code(err) != http.StatusNotFound {
		t.Fatal(err)
	}
	c.awaitGone(t, path)
}

func (c *cluster) awaitGone(t *testing.T, path string) {
	t.Helper()
	err := lab.Poll(limited(t, time.Minute), func() error {
		err := c.api.Get(t.Context(), path, nil)
		if Code(err) == http.StatusNotFound {
			return nil
		}
		return fmt.Errorf("%s is still there, %w", path, err)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// node is the node's condition Ready.
func (c *cluster) node(ctx context.Context) (Condition, error) {
	var n struct {
		Status struct{ Conditions []Condition }
	}
	err := c.api.Get(ctx, "/api/v1/nodes/"+nodeName, &n)
	return find(n.Status.Conditions, "Ready"), err
}

// awaitNode waits until the node's condition Ready is so, with the words in its message.
func (c *cluster) awaitNode(t *testing.T, status string, d time.Duration, words ...string) (took time.Duration, message string) {
	t.Helper()
	start := time.Now()
	err := lab.Poll(limited(t, d), func() error {
		ready, err := c.node(t.Context())
		if err != nil {
			return err
		}
		message = ready.Message
		for _, w := range words {
			if !strings.Contains(message, w) {
				return fmt.Errorf("node Ready=%s: %s: it does not say %q", ready.Status, message, w)
			}
		}
		if ready.Status != status {
			return fmt.Errorf("node Ready=%s, want %s: %s", ready.Status, status, message)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return time.Since(start), message
}

// vpcAddress checks that the pod has an address of the VPC that the pool knows as its own.
func (c *cluster) vpcAddress(t *testing.T, p Pod) netip.Addr {
	t.Helper()
	addr, err := netip.ParseAddr(p.Status.PodIP)
	if err != nil || !nodeSubnet.Contains(addr) {
		t.Fatalf("pod %s has the address %q, not one of %s", p.Metadata.Name, p.Status.PodIP, nodeSubnet)
	}
	pool, err := c.lab.Pool(t.Context(), nodeName)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range pool.ENIs {
		for _, a := range e.Addresses {
			if a.Address == addr.String() && a.State == "used" {
				return addr
			}
		}
	}
	t.Fatalf("the pool does not know %s as used", addr)
	return addr
}

// encode is the object as JSON, which is YAML.
func encode(t *testing.T, o Object) []byte {
	t.Helper()
	raw, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
