package kubernetes

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/integration/lab"
	"github.com/vpcchain/vpcchain/integration/runtimes"
)

// TestImage puts nothing on a node but the image of `make image`, and starts the
// chart's pod from it as a static pod: before the first address there is no other.
func TestImage(t *testing.T) {
	archive := os.Getenv("VPCCHAIN_IMAGE")
	if _, err := os.Stat(archive); err != nil {
		t.Fatalf("VPCCHAIN_IMAGE is %q: %v: run `make test-kubernetes`, which makes the image", archive, err)
	}
	c := newCluster(t)
	c.awaitNode(t, "False", time.Minute, "cni")
	c.importImage(t, archive)
	start := time.Now()
	if err := c.kubelet.PutStatic("vpcchain", encode(t, c.imagePod(t))); err != nil {
		t.Fatal(err)
	}
	daemon := system + "/vpcchain-" + nodeName
	t.Cleanup(func() {
		var p Pod
		if t.Failed() && c.api.Get(t.Context(), daemon, &p) == nil {
			t.Logf("%+v\n%s", p.Status, c.logs(p))
		}
	})
	c.awaitNode(t, "True", 2*time.Minute)
	up := time.Since(start)
	if err := c.api.Post(t.Context(), pods, simplePod("web", nil), nil); err != nil {
		t.Fatal(err)
	}
	p := c.await(t, pods+"/web", "running", time.Minute, running)
	c.reach(t, "node-b", c.vpcAddress(t, p))
	t.Logf("an empty node is ready %.1f s after the static pod came", up.Seconds())
	c.installed(t)
	c.repairs(t)
}

// importImage puts an image into the runtime of the node.
func (c *cluster) importImage(t *testing.T, archive string) {
	t.Helper()
	ctr := filepath.Join(tool(t, "VPCCHAIN_CONTAINERD24", "ctr"), "ctr")
	out, err := c.lab.Exec(t.Context(), nodeName, ctr, "-a", "/run/containerd/containerd.sock", "-n", "k8s.io", "images", "import", "--local=true", archive)
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// imagePod is the chart's pod for a kubelet without an API server.
func (c *cluster) imagePod(t *testing.T) Object {
	t.Helper()
	var aws []string
	if err := c.lab.Sim(t.Context(), &aws, "env", nodeName); err != nil {
		t.Fatal(err)
	}
	var extra []Object
	for _, pair := range aws {
		name, value, _ := strings.Cut(pair, "=")
		extra = append(extra, Object{"name": name, "value": value})
	}
	var set struct {
		Spec struct{ Template Object }
	}
	ofKind(t, render(t, Object{
		"image": Object{"pullPolicy": "Never"}, "cniBinDir": runtimes.BinDir, "extraEnv": extra, "vpcKube": Object{"enabled": false},
		"env": Object{"ENABLE_BANDWIDTH_PLUGIN": true},
	}), "DaemonSet", &set)
	pod := set.Spec.Template
	pod["apiVersion"], pod["kind"] = "v1", "Pod"
	meta, spec := pod["metadata"].(Object), pod["spec"].(Object)
	meta["name"], meta["namespace"] = "vpcchain", "kube-system"
	// A static pod refers to no object of the API.
	delete(spec, "serviceAccountName")
	return pod
}

// installed: everything that the conflist names has come from the image.
func (c *cluster) installed(t *testing.T) {
	t.Helper()
	out, err := c.lab.Exec(t.Context(), nodeName, "ls", runtimes.BinDir)
	if err != nil {
		t.Fatal(err)
	}
	there := strings.Fields(out)
	for _, want := range []string{"bandwidth", "loopback", "portmap", "vpc-ipam", "vpc-sgpp", "vpc-snat", "vpc-veth"} {
		if !slices.Contains(there, want) {
			t.Errorf("%s is not among %v", want, there)
		}
	}
}

// repairs takes the SNAT away and waits until the daemon has put it back, with
// the iptables of the image.
func (c *cluster) repairs(t *testing.T) {
	t.Helper()
	const chain = "AWS-SNAT-CHAIN-0"
	rules := func() string {
		out, _ := c.lab.Exec(t.Context(), nodeName, "iptables", "-t", "nat", "-S", chain) // without the chain it says nothing
		return out
	}
	before := rules()
	if !strings.Contains(before, "SNAT") {
		t.Fatalf("a pod is there and its SNAT is not: %q", before)
	}
	if _, err := c.lab.Exec(t.Context(), nodeName, "iptables", "-t", "nat", "-F", chain); err != nil {
		t.Fatal(err)
	}
	err := lab.Poll(limited(t, time.Minute), func() error {
		if now := rules(); now != before {
			return fmt.Errorf("the chain was\n%s\nand is\n%s", before, now)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
