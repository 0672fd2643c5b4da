package kubernetes

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

const (
	chart    = "../../deploy/helm/vpcchain"
	manifest = "../../deploy/vpcchain.yaml"
)

// helm runs Helm and returns its standard output.
func helm(t *testing.T, args ...string) (string, error) {
	t.Helper()
	program := filepath.Join(tool(t, "VPCCHAIN_HELM", "helm"), "helm")
	cmd := exec.Command(program, args...)
	dir := t.TempDir() // Helm writes caches
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_CACHE_HOME="+dir, "XDG_CONFIG_HOME="+dir, "XDG_DATA_HOME="+dir)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("helm %q: %w: %s%s", args, err, stderr.String(), out)
	}
	return string(out), err
}

// render is the chart with values.
func render(t *testing.T, values Object) []Object {
	t.Helper()
	file := filepath.Join(t.TempDir(), "values.json")
	if err := os.WriteFile(file, encode(t, values), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := helm(t, "template", "vpcchain", chart, "--namespace", "kube-system", "--include-crds", "--values", file)
	if err != nil {
		t.Fatal(err)
	}
	return documents(t, out)
}

// documents are the objects of a manifest.
func documents(t *testing.T, text string) (all []Object) {
	t.Helper()
	for _, doc := range regexp.MustCompile(`(?m)^---$`).Split(text, -1) {
		var o Object
		if err := yaml.Unmarshal([]byte(doc), &o); err != nil {
			t.Fatalf("%v:\n%s", err, doc)
		}
		if o != nil {
			all = append(all, o)
		}
	}
	return all
}

// kinds are the objects' kinds, in order.
func kinds(all []Object) string {
	var out []string
	for _, o := range all {
		out = append(out, o["kind"].(string))
	}
	return strings.Join(out, " ")
}

// ofKind is the one object of the kind, decoded into v.
func ofKind(t *testing.T, all []Object, kind string, v any) {
	t.Helper()
	for _, o := range all {
		if o["kind"] == kind {
			if err := json.Unmarshal(encode(t, o), v); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("no %s among %s", kind, kinds(all))
}

// daemonSet is what the tests read of it.
type daemonSet struct {
	Spec struct {
		Template struct {
			Metadata Object
			Spec     struct {
				HostNetwork                  bool
				PriorityClassName            string
				AutomountServiceAccountToken bool
				InitContainers, Containers   []container
				Volumes                      []struct{ Name string }
			}
		}
	}
}

type container struct {
	Name            string
	Image           string
	Command         []string
	Env             []struct{ Name, Value string }
	SecurityContext struct {
		Privileged, AllowPrivilegeEscalation, ReadOnlyRootFilesystem bool
		Capabilities                                                 struct{ Add, Drop []string }
	}
	VolumeMounts []struct{ Name, MountPath string }
}

func TestChartLint(t *testing.T) {
	if _, err := helm(t, "lint", "--strict", chart); err != nil {
		t.Error(err)
	}
}

// The rendered manifest that ships is what Helm makes of the chart.
func TestChartRendered(t *testing.T) {
	shipped, err := os.ReadFile(manifest)
	if err != nil {
		t.Fatal(err)
	}
	now, err := exec.Command("../../tools/helm/render.sh", filepath.Join(tool(t, "VPCCHAIN_HELM", "helm"), "helm")).Output()
	if err != nil {
		t.Fatal(err)
	}
	if string(now) != string(shipped) {
		t.Errorf("%s is not up to date: run `make manifests`", manifest)
	}
}

func TestChartDefaults(t *testing.T) {
	all := render(t, nil)
	if got, want := kinds(all), "CustomResourceDefinition ServiceAccount ClusterRole ClusterRoleBinding DaemonSet"; got != want {
		t.Errorf("objects %s, want %s", got, want)
	}
	var d daemonSet
	ofKind(t, all, "DaemonSet", &d)
	s := d.Spec.Template.Spec
	if !s.HostNetwork || s.PriorityClassName != "system-node-critical" || s.AutomountServiceAccountToken {
		t.Errorf("pod %+v", s)
	}
	mounted(t, d)
	for _, c := range append(s.InitContainers, s.Containers...) {
		x := c.SecurityContext
		if x.Privileged || x.AllowPrivilegeEscalation || !x.ReadOnlyRootFilesystem || fmt.Sprint(x.Capabilities.Drop) != "[ALL]" {
			t.Errorf("container %s: %+v", c.Name, x)
		}
		want := map[string]string{"install": "[]", "vpc-ipamd": "[NET_ADMIN NET_RAW]", "vpc-kube": "[]"}[c.Name]
		if got := fmt.Sprint(x.Capabilities.Add); got != want {
			t.Errorf("container %s has the capabilities %s, want %s", c.Name, got, want)
		}
		if c.Image != "localhost/vpcchain:0.1.0" || len(c.Env) != 0 && c.Name != "vpc-kube" {
			t.Errorf("container %s: image %s, environment %v", c.Name, c.Image, c.Env)
		}
	}
}

// mounted checks that every mount has its volume and every volume a mount.
func mounted(t *testing.T, d daemonSet) {
	t.Helper()
	uses := map[string]int{}
	s := d.Spec.Template.Spec
	for _, c := range append(s.InitContainers, s.Containers...) {
		for _, m := range c.VolumeMounts {
			uses[m.Name]++
		}
	}
	for _, v := range s.Volumes {
		if uses[v.Name] == 0 {
			t.Errorf("volume %s is mounted nowhere", v.Name)
		}
		delete(uses, v.Name)
	}
	if len(uses) > 0 {
		t.Errorf("mounts without a volume: %v", uses)
	}
}

func TestChartValues(t *testing.T) {
	eniConfigs := Object{"us-west-2a": Object{"subnet": "subnet-1", "securityGroups": []string{"sg-1"}}}
	for _, tc := range []struct {
		name   string
		values Object
		kinds  string
		words  []string
	}{
		{
			"settings",
			Object{"env": Object{"MINIMUM_IP_TARGET": 2000000, "ENABLE_POD_ENI": true, "AWS_VPC_K8S_CNI_CONNMARK": "0x80"}},
			"CustomResourceDefinition ServiceAccount ClusterRole ClusterRoleBinding DaemonSet",
			[]string{`"2000000"`, `"true"`, `"0x80"`},
		},
		{
			"ENIConfigs as files",
			Object{"eniConfigs": eniConfigs, "vpcKube": Object{"enabled": false}},
			"CustomResourceDefinition ServiceAccount ConfigMap DaemonSet",
			[]string{"/etc/vpc-cni/eniconfigs", "us-west-2a.yaml", "subnet: subnet-1"},
		},
		{
			"ENIConfigs as objects",
			Object{"eniConfigs": eniConfigs, "vpcKube": Object{"clusterEndpoint": "https://api.example"}},
			"CustomResourceDefinition ServiceAccount ClusterRole ClusterRoleBinding DaemonSet ENIConfig",
			[]string{"-node=$(NODE_NAME)", "-socket=/run/vpc-cni/ipamd.sock", "https://api.example"},
		},
		{
			"runtime asked",
			Object{"criSocket": Object{"dir": "/run/crio", "name": "crio.sock"}},
			"CustomResourceDefinition ServiceAccount ClusterRole ClusterRoleBinding DaemonSet",
			[]string{"unix:///host/cri/crio.sock"},
		},
		{"no stock daemon", Object{"stockStateDir": ""}, "CustomResourceDefinition ServiceAccount ClusterRole ClusterRoleBinding DaemonSet", nil},
		{
			"monitored",
			Object{"podMonitor": Object{"create": true}},
			"CustomResourceDefinition ServiceAccount ClusterRole ClusterRoleBinding DaemonSet PodMonitor",
			[]string{
				`"port":"metrics"`, `"containerPort":61678`, `{"name":"NODE_IP","valueFrom":{"fieldRef":{"fieldPath":"status.hostIP"}}},{"name":"METRICS_BIND_ADDRESS","value":"$(NODE_IP):61678"}`,
				`"httpGet":{"path":"/readyz","port":61678}`,
			},
		},
		{
			"metrics on all addresses at another port",
			Object{"metrics": Object{"bindAddress": "0.0.0.0", "port": 9100}},
			"CustomResourceDefinition ServiceAccount ClusterRole ClusterRoleBinding DaemonSet",
			[]string{`{"name":"METRICS_BIND_ADDRESS","value":"0.0.0.0:9100"}`, `"httpGet":{"host":"127.0.0.1","path":"/readyz","port":9100}`},
		},
		{
			"by digest",
			Object{"image": Object{"repository": "registry.example/vpcchain", "digest": "sha256:" + strings.Repeat("a", 64)}},
			"CustomResourceDefinition ServiceAccount ClusterRole ClusterRoleBinding DaemonSet",
			[]string{"registry.example/vpcchain@sha256:aaa"},
		},
		{
			"flags of the installation",
			Object{"install": Object{"args": []string{"--retire=10-aws.conflist"}}, "imagePullSecrets": []Object{{"name": "s"}}},
			"CustomResourceDefinition ServiceAccount ClusterRole ClusterRoleBinding DaemonSet",
			[]string{"--retire=10-aws.conflist"},
		},
		{
			"labels",
			Object{"podLabels": Object{"a": "b"}, "podAnnotations": Object{"c": "d"}, "nodeSelector": Object{"e": "f"}, "serviceAccount": Object{"annotations": Object{"g": "h"}}},
			"CustomResourceDefinition ServiceAccount ClusterRole ClusterRoleBinding DaemonSet",
			[]string{`"a":"b"`, `"c":"d"`, `"e":"f"`, `"g":"h"`},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			all := render(t, tc.values)
			if got := kinds(all); got != tc.kinds {
				t.Errorf("objects %s, want %s", got, tc.kinds)
			}
			text := ""
			for _, o := range all {
				text += string(encode(t, o)) + "\n"
			}
			for _, w := range tc.words {
				if !strings.Contains(text, w) {
					t.Errorf("nothing has %s:\n%s", w, text)
				}
			}
			var d daemonSet
			ofKind(t, all, "DaemonSet", &d)
			mounted(t, d)
		})
	}
}

// A mistake stops the rendering and is named.
func TestChartMistakes(t *testing.T) {
	for set, want := range map[string]string{
		"env.WARM_IP_TARGETS=5":               "WARM_IP_TARGETS",
		"env.WARM_IP_TARGET=many":             "/env/WARM_IP_TARGET",
		"env.ENABLE_PREFIX_DELEGATION=yes":    "/env/ENABLE_PREFIX_DELEGATION",
		"capabilities={NET_RAW}":              "/capabilities",
		"capabilities={NET_ADMIN,SYS_MODULE}": "/capabilities",
		"cniBinDir=bin":                       "/cniBinDir",
		"eniConfigs.a.subnet=net-1":           "/eniConfigs/a/subnet",
		"eniConfigs.a.securityGroup=sg-1":     "securityGroup",
		"nosuch=1":                            "nosuch",
		"env.METRICS_BIND_ADDRESS=0.0.0.0:1":  "METRICS_BIND_ADDRESS",
	} {
		if out, err := helm(t, "template", "v", chart, "--set", set); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("--set %s: %v, want it to name %s; %d bytes", set, err, want, len(out))
		}
	}
}
