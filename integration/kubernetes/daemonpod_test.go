package kubernetes

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/integration/lab"
	"github.com/vpcchain/vpcchain/integration/runtimes"
)

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
	if out, err := c.lab.Exec(t.Context(), nodeName, c.lab.Bin("vpcctl"), "status"); err != nil || !strings.HasPrefix(out, "serving\n") {
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
