package kubernetes

import (
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/integration/lab"
	"github.com/vpcchain/vpcchain/integration/runtimes"
)

// testStatic is a pod that the API server did not make.
func (c *cluster) testStatic(t *testing.T) {
	pod := simplePod("static", nil)
	delete(pod["spec"].(Object), "nodeName")
	if err := c.kubelet.PutStatic("static", encode(t, pod)); err != nil {
		t.Fatal(err)
	}
	mirror := pods + "/static-" + nodeName
	p := c.await(t, mirror, "running", time.Minute, running)
	c.reach(t, "node-b", c.vpcAddress(t, p))
	if err := c.kubelet.RemoveStatic("static"); err != nil {
		t.Fatal(err)
	}
	c.awaitGone(t, mirror)
}

// testPods: two pods of the API, reached from the node, from another host of the VPC, and each other.
func (c *cluster) testPods(t *testing.T) {
	var addrs []netip.Addr
	for _, name := range []string{"one", "two"} {
		if err := c.api.Post(t.Context(), pods, simplePod(name, nil), nil); err != nil {
			t.Fatal(err)
		}
		p := c.await(t, pods+"/"+name, "running", time.Minute, running)
		addrs = append(addrs, c.vpcAddress(t, p))
	}
	for _, a := range addrs {
		for _, from := range []string{nodeName, "node-b"} {
			c.reach(t, from, a)
		}
	}
	if addrs[0] == addrs[1] {
		t.Errorf("both have %s", addrs[0])
	}
	for _, name := range []string{"one", "two"} {
		c.remove(t, pods+"/"+name)
	}
}

// reach dials the pod's server, which answers with whom it sees.
func (c *cluster) reach(t *testing.T, from string, to netip.Addr) {
	t.Helper()
	seen, err := c.lab.Dial(limited(t, 20*time.Second), lab.HostEnd(from), netip.AddrPortFrom(to, runtimes.ServePort))
	if err != nil {
		t.Errorf("%s to %s: %v", from, to, err)
	} else if seen.Client.Addr() != seen.Local.Addr() {
		t.Errorf("%s to %s: the pod sees %s, the client is %s", from, to, seen.Client, seen.Local)
	}
}

// testProbes: the kubelet's own connections to pods. A probe of a port where nobody listens
// shows that the others were not ready for nothing.
func (c *cluster) testProbes(t *testing.T) {
	probe := func(kind string, port int) Object {
		action := Object{"port": port}
		if kind == "httpGet" {
			action["path"] = "/healthz"
		}
		return Object{
			"args": []string{"web", "8080"}, "readinessProbe": Object{kind: action, "periodSeconds": 1, "failureThreshold": 1},
			"livenessProbe": Object{"tcpSocket": Object{"port": 8080}, "periodSeconds": 1, "initialDelaySeconds": 2},
		}
	}
	for name, container := range map[string]Object{"tcp": probe("tcpSocket", 8080), "http": probe("httpGet", 8080), "nobody": probe("tcpSocket", 8099)} {
		if err := c.api.Post(t.Context(), pods, simplePod(name, container), nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"tcp", "http"} {
		c.await(t, pods+"/"+name, "ready", time.Minute, ready)
	}
	c.await(t, pods+"/nobody", "running", time.Minute, running)
	// Several periods of the probes have passed since the others were ready.
	time.Sleep(3 * time.Second)
	if nobody := c.await(t, pods+"/nobody", "running", time.Minute, running); nobody.is("Ready") {
		t.Error("a pod is ready although nobody listens where it is probed")
	}
	for _, name := range []string{"tcp", "http", "nobody"} {
		p := c.await(t, pods+"/"+name, "running", time.Minute, running)
		if n := p.Status.ContainerStatuses[0].RestartCount; n != 0 {
			t.Errorf("%s was restarted %d times", name, n)
		}
		c.remove(t, pods+"/"+name)
	}
}

// notReadyLimit is how soon the node is to say that its daemon is dead.
const notReadyLimit = 10 * time.Second

// testDeath kills the daemon, and brings it back.
func (c *cluster) testDeath(t *testing.T) {
	if err := c.api.Post(t.Context(), pods, simplePod("survivor", nil), nil); err != nil {
		t.Fatal(err)
	}
	addr := c.vpcAddress(t, c.await(t, pods+"/survivor", "running", time.Minute, running))
	if err := syscall.Kill(c.daemonPid(t), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	took, message := c.awaitNode(t, "False", 30*time.Second, "vpc-ipamd")
	t.Logf("NotReady %.1f s after the daemon's death: %s", took.Seconds(), message)
	if took > notReadyLimit {
		t.Errorf("NotReady after %s, want %s", took, notReadyLimit)
	}
	c.reach(t, "node-b", addr)
	c.remove(t, daemonPod)
	start := time.Now()
	c.startDaemon(t)
	took, _ = c.awaitNode(t, "True", 30*time.Second)
	t.Logf("Ready %.1f s after the daemon's pod was, %.1f s after it was made", took.Seconds(), time.Since(start).Seconds())
	c.reach(t, "node-b", addr)
	c.remove(t, pods+"/survivor")
}

// testKubeletKilled: pods outlive the kubelet, and the next one knows them.
func (c *cluster) testKubeletKilled(t *testing.T) {
	if err := c.api.Post(t.Context(), pods, simplePod("survivor", nil), nil); err != nil {
		t.Fatal(err)
	}
	before := c.await(t, pods+"/survivor", "running", time.Minute, running)
	c.kubelet.Kill()
	c.reach(t, "node-b", c.vpcAddress(t, before))
	if err := c.kubelet.Start(limited(t, time.Minute)); err != nil {
		t.Fatal(err)
	}
	// A second pod shows that the kubelet has read the first one.
	if err := c.api.Post(t.Context(), pods, simplePod("next", nil), nil); err != nil {
		t.Fatal(err)
	}
	c.await(t, pods+"/next", "running", time.Minute, running)
	after := c.await(t, pods+"/survivor", "running", time.Minute, running)
	if after.Status.PodIP != before.Status.PodIP || after.Status.ContainerStatuses[0].ContainerID != before.Status.ContainerStatuses[0].ContainerID {
		t.Errorf("before %+v, after %+v", before.Status, after.Status)
	}
	c.remove(t, pods+"/survivor")
	c.remove(t, pods+"/next")
}
