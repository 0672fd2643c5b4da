package kubernetes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/integration/lab"
	"github.com/vpcchain/vpcchain/integration/runtimes"
)

const daemonPod = system + "/vpcchain-" + nodeName

// TestKubernetes runs the cases one after the other, each on the node as it finds it.
func TestKubernetes(t *testing.T) {
	c := newCluster(t)
	for _, tc := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"node without a network", c.testEmptyNode},
		{"every object of the manifest", c.testManifest},
		{"ENIConfig of the stock CNI", c.testENIConfig},
		{"what the service account may", c.testAccount},
		{"chart's pod makes the node ready", c.testInstall},
		{"static pod", c.testStatic},
		{"pods of the API", c.testPods},
		{"probes", c.testProbes},
		{"daemon's death", c.testDeath},
		{"kubelet killed", c.testKubeletKilled},
		{"thirty pods", c.testThirty},
		{"beside ptp and host-local", c.testBesidePtp},
		{"nothing is left", c.testClean},
	} {
		if !t.Run(tc.name, tc.run) && tc.name == "chart's pod makes the node ready" {
			t.Fatal("without a network there is nothing more to try")
		}
	}
}

func (c *cluster) testEmptyNode(t *testing.T) {
	_, message := c.awaitNode(t, "False", time.Minute, "cni")
	t.Logf("NotReady: %s", message)
}

// testManifest lets the API server check every object as it would be written,
// and then writes it.
func (c *cluster) testManifest(t *testing.T) {
	raw, err := os.ReadFile(manifest)
	if err != nil {
		t.Fatal(err)
	}
	withFiles := render(t, Object{"vpcKube": Object{"enabled": false}, "eniConfigs": Object{"az": Object{"subnet": "subnet-1"}}})
	for _, all := range [][]Object{withFiles, documents(t, string(raw))} {
		for _, o := range all {
			path := pathOf(t, o)
			if err := c.api.Apply(t.Context(), path, o, true); err != nil {
				t.Errorf("dry run: %v", err)
			}
			if err := c.api.Apply(t.Context(), path, o, false); err != nil {
				t.Error(err)
			}
		}
	}
}

// pathOf is where the API has an object.
func pathOf(t *testing.T, o Object) string {
	t.Helper()
	under := map[string]string{
		"CustomResourceDefinition": "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
		"ClusterRole":              "/apis/rbac.authorization.k8s.io/v1/clusterroles",
		"ClusterRoleBinding":       "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
		"ServiceAccount":           "/api/v1/namespaces/kube-system/serviceaccounts",
		"ConfigMap":                "/api/v1/namespaces/kube-system/configmaps",
		"DaemonSet":                "/apis/apps/v1/namespaces/kube-system/daemonsets",
		"ENIConfig":                "/apis/crd.k8s.amazonaws.com/v1alpha1/eniconfigs",
	}[o["kind"].(string)]
	if under == "" {
		t.Fatalf("nobody has said where a %s is", o["kind"])
	}
	return under + "/" + o["metadata"].(Object)["name"].(string)
}

// testENIConfig writes objects as they are found in clusters of the stock CNI.
func (c *cluster) testENIConfig(t *testing.T) {
	for i, spec := range []Object{
		{"subnet": "subnet-0123", "securityGroups": []string{"sg-1", "sg-2"}},
		{"subnet": "subnet-0123"},
		{"subnet": "subnet-0123", "securityGroups": nil},
		{"subnet": "subnet-0123", "somethingElse": true},
	} {
		o := Object{"apiVersion": "crd.k8s.amazonaws.com/v1alpha1", "kind": "ENIConfig", "metadata": Object{"name": fmt.Sprint("az-", i)}, "spec": spec}
		// The server serves a new resource a little after it says so.
		err := lab.Poll(limited(t, 20*time.Second), func() error { return c.api.Post(t.Context(), filepath.Dir(pathOf(t, o)), o, nil) })
		if err != nil {
			t.Errorf("%v: %v", spec, err)
		}
		var back struct{ Spec Object }
		if err := c.api.Get(t.Context(), pathOf(t, o), &back); err != nil || back.Spec["subnet"] != "subnet-0123" {
			t.Errorf("%v came back as %v, %v", spec, back.Spec, err)
		}
	}
	bad := Object{"apiVersion": "crd.k8s.amazonaws.com/v1alpha1", "kind": "ENIConfig", "metadata": Object{"name": "bad"}, "spec": Object{"subnet": 5}}
	if err := c.api.Post(t.Context(), filepath.Dir(pathOf(t, bad)), bad, nil); err == nil {
		t.Error("a subnet that is a number was accepted")
	}
}

// testAccount asks the API server what the service account of the chart may do.
func (c *cluster) testAccount(t *testing.T) {
	var token struct{ Status struct{ Token string } }
	err := c.api.Post(t.Context(), "/api/v1/namespaces/kube-system/serviceaccounts/vpcchain/token",
		Object{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": Object{}}, &token)
	if err != nil {
		t.Fatal(err)
	}
	account := c.api.As(token.Status.Token)
	for _, q := range []struct {
		group, resource, sub string
		verbs                string
		may                  bool
	}{
		{"crd.k8s.amazonaws.com", "eniconfigs", "", "list watch", true},
		{"", "nodes", "", "list watch", true},
		{"", "nodes", "status", "patch", true},
		{"", "pods", "", "list watch", true},
		{"", "events", "", "create patch", true},
		{"crd.k8s.amazonaws.com", "eniconfigs", "", "create update patch delete", false},
		{"", "nodes", "", "create update patch delete", false},
		{"", "nodes", "status", "update", false},
		{"", "pods", "", "create update patch delete", false},
		{"", "pods", "status", "update patch", false},
		{"", "pods", "exec", "create", false},
		{"", "events", "", "delete list", false},
		{"", "secrets", "", "get list watch create", false},
		{"", "configmaps", "", "get list watch create", false},
		{"", "serviceaccounts", "token", "create", false},
		{"apps", "daemonsets", "", "get list patch", false},
	} {
		for verb := range strings.FieldsSeq(q.verbs) {
			attributes := Object{"group": q.group, "resource": q.resource, "subresource": q.sub, "verb": verb, "namespace": "default"}
			var answer struct{ Status struct{ Allowed bool } }
			err := account.Post(t.Context(), "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
				Object{"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": Object{"resourceAttributes": attributes}}, &answer)
			if err != nil {
				t.Fatal(err)
			}
			if answer.Status.Allowed != q.may {
				t.Errorf("%s %s %s/%s: allowed %t", verb, q.group, q.resource, q.sub, answer.Status.Allowed)
			}
		}
	}
}

// daemon is a pod as a DaemonSet's controller makes it from the chart, of the
// test image, into which the programs are mounted.
func (c *cluster) daemon(t *testing.T) Object {
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
	repository, tag, _ := strings.Cut(runtimes.Image, ":")
	all := render(t, Object{
		"image":     Object{"repository": repository, "tag": tag, "pullPolicy": "Never"},
		"cniBinDir": runtimes.BinDir, "extraEnv": extra,
		// The image has no iptables, and without iptables-legacy one capability is enough.
		"capabilities": []string{"NET_ADMIN"},
		"vpcKube":      Object{"clusterEndpoint": server},
		"env":          Object{"IP_COOLDOWN_PERIOD": 1, "MINIMUM_IP_TARGET": 45, "VPC_SNAT_BACKEND": "nftables"},
	})
	var set struct {
		Spec struct{ Template Object }
	}
	ofKind(t, all, "DaemonSet", &set)
	pod := set.Spec.Template
	pod["apiVersion"], pod["kind"] = "v1", "Pod"
	meta, spec := pod["metadata"].(Object), pod["spec"].(Object)
	meta["name"], meta["namespace"], spec["nodeName"] = filepath.Base(daemonPod), "kube-system", nodeName
	// A dead daemon is to stay dead until the test says otherwise.
	spec["restartPolicy"] = "Never"
	spec["volumes"] = append(spec["volumes"].([]any), Object{"name": "programs", "hostPath": Object{"path": c.lab.Bin("")}})
	for _, key := range []string{"initContainers", "containers"} {
		for _, one := range spec[key].([]any) {
			one := one.(Object)
			one["volumeMounts"] = append(one["volumeMounts"].([]any), Object{"name": "programs", "mountPath": "/usr/local/bin", "readOnly": true})
		}
	}
	return pod
}

func (c *cluster) startDaemon(t *testing.T) {
	t.Helper()
	if err := c.api.Post(t.Context(), system, c.daemon(t), nil); err != nil {
		t.Fatal(err)
	}
	c.await(t, daemonPod, "ready", 2*time.Minute, ready)
}

// testInstall is the whole of it: a pod of the chart on a node that has nothing.
func (c *cluster) testInstall(t *testing.T) {
	start := time.Now()
	c.startDaemon(t)
	up := time.Since(start)
	c.awaitNode(t, "True", time.Minute)
	t.Logf("chart's pod ready after %.1f s, node after %.1f s", up.Seconds(), time.Since(start).Seconds())
	if out, err := c.lab.Exec(t.Context(), nodeName, c.lab.Bin("vpcctl"), "status"); err != nil || strings.TrimSpace(out) != "serving" {
		t.Errorf("vpcctl status: %q, %v", out, err)
	}
	// The node begins with these as a distribution leaves them, and the container's own /proc/sys is read-only.
	for path, want := range map[string]string{"ipv4/ip_forward": "1", "ipv4/conf/eth0/rp_filter": "2"} {
		if out, err := c.lab.Exec(t.Context(), nodeName, "cat", "/proc/sys/net/"+path); err != nil || strings.TrimSpace(out) != want {
			t.Errorf("sysctl %s is %q, %v, want %s", path, out, err, want)
		}
	}
	c.confined(t)
	c.told(t)
}

// told: what vpc-kube, with the rights of the chart's account alone, has brought to the daemon.
func (c *cluster) told(t *testing.T) {
	t.Helper()
	file := filepath.Join(c.lab.RunDir(nodeName), "vpc-cni/kube.json")
	err := lab.Poll(limited(t, 20*time.Second), func() error {
		raw, err := os.ReadFile(file)
		for _, w := range []string{"subnet-0123", "kubernetes.io/hostname"} {
			if err == nil && !strings.Contains(string(raw), w) {
				err = fmt.Errorf("%s has no %s: %s", file, w, raw)
			}
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// confined reads back from the kernel what the daemon's process may do.
func (c *cluster) confined(t *testing.T) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.daemonPid(t)))
	if err != nil {
		t.Fatal(err)
	}
	const netAdmin = 12 // linux/capability.h
	mask := fmt.Sprintf("%016x", 1<<netAdmin)
	want := map[string]string{"CapEff": mask, "CapBnd": mask, "NoNewPrivs": "1", "Seccomp": "2"}
	for line := range strings.Lines(string(status)) {
		key, value, _ := strings.Cut(line, ":")
		if w, ok := want[key]; ok && strings.TrimSpace(value) != w {
			t.Errorf("%s of the daemon is %s, want %s", key, strings.TrimSpace(value), w)
		}
		delete(want, key)
	}
	if len(want) > 0 {
		t.Errorf("the kernel does not tell %v", want)
	}
}

// daemonPid finds the daemon's process: the one of its name in the node's network.
func (c *cluster) daemonPid(t *testing.T) int {
	t.Helper()
	node, err := c.lab.Exec(t.Context(), nodeName, "readlink", "/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	dirs, _ := filepath.Glob("/proc/[0-9]*") // the pattern is well-formed
	for _, dir := range dirs {
		net, _ := os.Readlink(dir + "/ns/net") // it may have gone
		name, _ := os.ReadFile(dir + "/comm")
		if net == strings.TrimSpace(node) && strings.TrimSpace(string(name)) == "vpc-ipamd" {
			pid, err := strconv.Atoi(filepath.Base(dir))
			if err != nil {
				t.Fatal(err)
			}
			return pid
		}
	}
	t.Fatal("vpc-ipamd does not run")
	return 0
}

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

// testClean: when every pod has gone nothing of them is on the node.
func (c *cluster) testClean(t *testing.T) {
	err := lab.Poll(limited(t, 20*time.Second), func() error {
		left, err := c.lab.Leftovers(t.Context(), nodeName)
		if err == nil && len(left) > 0 {
			err = fmt.Errorf("left: %q", left)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	for path, want := range machine {
		if now, err := os.ReadFile(path); err != nil || string(now) != want {
			t.Errorf("%s of the machine was %q and is %q, %v", path, want, now, err)
		}
	}
}

// machine is what a kubelet would change outside its namespaces, as it was when the tests began.
var machine = func() map[string]string {
	out := map[string]string{}
	for _, path := range []string{"vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops"} {
		raw, err := os.ReadFile(filepath.Join("/proc/sys", path))
		if err == nil {
			out[filepath.Join("/proc/sys", path)] = string(raw)
		}
	}
	return out
}()

// runningOf waits until every pod of the names is running and has an address, and
// says when the last one was. It watches from the moment that begin is called.
func (c *cluster) runningOf(ctx context.Context, names []string, begin func() error) (time.Duration, map[string]string, error) {
	missing, addr := map[string]bool{}, map[string]string{}
	for _, n := range names {
		missing[n] = true
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	start := time.Now()
	go func() {
		if err := begin(); err != nil {
			cancel(err)
		}
	}()
	err := c.api.Watch(ctx, pods, func(kind string, raw json.RawMessage) (bool, error) {
		var p Pod
		if err := json.Unmarshal(raw, &p); err != nil {
			return false, err
		}
		switch {
		case kind == "ERROR":
			return false, fmt.Errorf("watching: %s", raw)
		case !missing[p.Metadata.Name] || kind == "DELETED":
		case p.Status.Phase == "Failed":
			return false, errors.New(p.Metadata.Name + " failed")
		case running(p):
			delete(missing, p.Metadata.Name)
			addr[p.Metadata.Name] = p.Status.PodIP
		}
		return len(missing) == 0, nil
	})
	if err != nil {
		err = fmt.Errorf("%d of %d pods are not running: %w", len(missing), len(names), err)
	}
	return time.Since(start), addr, err
}
