package kubernetes

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/integration/lab"
)

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
