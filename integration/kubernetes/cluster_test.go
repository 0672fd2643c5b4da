package kubernetes

import (
	"bytes"
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/integration/lab"
	"github.com/vpcchain/vpcchain/integration/runtimes"
	"github.com/vpcchain/vpcchain/integration/runtimes/image"
	"github.com/vpcchain/vpcchain/integration/supervise"
)

const (
	nodeName = "node-a"
	confDir  = "/etc/cni/net.d"
	pods     = "/api/v1/namespaces/default/pods"
	system   = "/api/v1/namespaces/kube-system/pods"
)

// nodeSubnet is what pods get their addresses from, nodeAddr the node's own (nodes.yaml).
var (
	nodeSubnet = netip.MustParsePrefix("10.20.11.0/24")
	nodeAddr   = netip.MustParseAddr("10.20.11.162")
)

// cluster is one node of Kubernetes, with nothing of the chain on it.
type cluster struct {
	lab     *lab.Lab
	api     *API
	plane   *Plane
	kubelet *Kubelet
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("needs root: a node of Kubernetes runs as root in namespaces")
	}
	programs := tool(t, "VPCCHAIN_KUBERNETES", "etcd", "kube-apiserver", "kubelet")
	owner := supervise.Owner()
	t.Cleanup(func() {
		if err := sweep(owner); err != nil {
			t.Error(err)
		}
	})
	bin, err := filepath.Abs("../../bin")
	if err != nil {
		t.Fatal(err)
	}
	ctx := limited(t, 3*time.Minute)
	l, err := lab.Up(ctx, bin, simulation(owner), "nodes.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{lab: l}
	c.startRuntime(ctx, t)
	if c.plane, err = StartPlane(ctx, l, simulation(owner), nodeName, programs); err != nil {
		t.Fatal(err)
	}
	c.api = c.plane.API
	t.Cleanup(func() { _ = c.plane.Stop() })
	if err := MakeCgroup(cgroup(owner)); err != nil {
		t.Fatal(err)
	}
	if c.kubelet, err = NewKubelet(ctx, l, simulation(owner), nodeName, nodeAddr, "/"+cgroup(owner), programs); err == nil {
		err = c.kubelet.Start(ctx)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.kubelet.Kill()
		if t.Failed() {
			t.Logf("end of the kubelet's log:\n%s", tail(c.kubelet.Log()))
		}
	})
	c.standIn(ctx, t)
	return c
}

// standIn makes what controllers make in a cluster: the account without which no
// pod is admitted, and the certificate that pods know the API server by.
func (c *cluster) standIn(ctx context.Context, t *testing.T) {
	t.Helper()
	ca, err := os.ReadFile(filepath.Join(c.lab.RunDir(nodeName), "kubernetes/certs/apiserver.crt"))
	if err != nil {
		t.Fatal(err)
	}
	for path, o := range map[string]Object{
		"/api/v1/namespaces/default/serviceaccounts": {"metadata": Object{"name": "default"}},
		"/api/v1/namespaces/kube-system/configmaps":  {"metadata": Object{"name": "kube-root-ca.crt"}, "data": Object{"ca.crt": string(ca)}},
	} {
		if err := c.api.Post(ctx, path, o, nil); err != nil {
			t.Fatal(err)
		}
	}
}

// startRuntime starts containerd with the test image, and without any plugin.
func (c *cluster) startRuntime(ctx context.Context, t *testing.T) {
	t.Helper()
	n, err := runtimes.NewBareNode(ctx, c.lab, nodeName, "/"+cgroup(supervise.Owner()), testImage(t))
	if err != nil {
		t.Fatal(err)
	}
	r, err := runtimes.NewContainerd(n, runtimes.Containerd24(tool(t, "VPCCHAIN_CONTAINERD24", "containerd")))
	if err == nil {
		err = r.Start(ctx)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("end of containerd's log:\n%s", tail(r.Log()))
		}
		_ = r.Kill()
	})
}

// testImage is the archive of the image whose one program is bin/probe.
func testImage(t *testing.T) string {
	t.Helper()
	binary, err := os.ReadFile("../../bin/probe")
	if err != nil {
		t.Fatalf("%v: run `make build` first", err)
	}
	var archive bytes.Buffer
	spec := image.Spec{Name: runtimes.Image, Arch: runtime.GOARCH, Program: "/probe", Entrypoint: []string{"/probe"}, Command: []string{"pause"}}
	if err := image.Write(&archive, spec, binary); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "image.tar")
	if err := os.WriteFile(file, archive.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// limited is a context for a step that may take so long.
func limited(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}
