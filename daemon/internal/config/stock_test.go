package config

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpcchain/vpcchain/pkg/snat"
)

// A variable is either read or excused. What `vpcctl install` and vpc-kube read
// is in the test of docs/configuration.md.
func TestStockNames(t *testing.T) {
	stock := map[string]StockName{}
	for _, s := range StockNames() {
		if _, twice := stock[s.Name]; twice {
			t.Errorf("%s is listed twice", s.Name)
		}
		stock[s.Name] = s
	}
	defaults := map[string]string{}
	for _, s := range Settings() {
		defaults[s.Name] = s.Default
	}
	for _, k := range snat.Keys() {
		if k.Env != "" {
			defaults[k.Env] = k.Default
		}
	}
	// "" and 0 are the same for those, and the daemon here says less.
	differs := map[string]string{"MAX_ENI": "0", "MINIMUM_IP_TARGET": "0", "WARM_IP_TARGET": "0", "AWS_VPC_K8S_CNI_LOGLEVEL": "INFO"}
	for name, def := range defaults {
		s, ok := stock[name]
		if !ok {
			continue
		}
		if s.Instead != "" {
			t.Errorf("%s is read: move it to readHere", name)
		}
		if want, ok := differs[name]; !ok && def != s.Default || ok && def != want {
			t.Errorf("%s: the default is %q, the stock CNI's %q", name, def, s.Default)
		}
	}
}

func TestFindUnread(t *testing.T) {
	stockManifest := []string{
		"ADDITIONAL_ENI_TAGS={}", "ANNOTATE_POD_IP=false", "AWS_VPC_CNI_NODE_PORT_SUPPORT=true", "AWS_VPC_ENI_MTU=9001",
		"AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG=false", "AWS_VPC_K8S_CNI_EXTERNALSNAT=false", "AWS_VPC_K8S_CNI_LOGLEVEL=DEBUG",
		"AWS_VPC_K8S_CNI_LOG_FILE=/host/var/log/aws-routed-eni/ipamd.log", "AWS_VPC_K8S_CNI_RANDOMIZESNAT=prng", "AWS_VPC_K8S_CNI_VETHPREFIX=eni",
		"AWS_VPC_K8S_PLUGIN_LOG_FILE=/var/log/aws-routed-eni/plugin.log", "AWS_VPC_K8S_PLUGIN_LOG_LEVEL=DEBUG", "CLUSTER_NAME=prod",
		"DISABLE_INTROSPECTION=false", "DISABLE_METRICS=false", "DISABLE_NETWORK_RESOURCE_PROVISIONING=false", "ENABLE_IPv4=true", "ENABLE_IPv6=false",
		"ENABLE_POD_ENI=false", "ENABLE_PREFIX_DELEGATION=false", "ENABLE_SUBNET_DISCOVERY=true", "NETWORK_POLICY_ENFORCING_MODE=standard",
		"VPC_CNI_VERSION=v1.23.1", "WARM_ENI_TARGET=1", "WARM_PREFIX_TARGET=1", "MY_NODE_NAME=ip-10-0-0-1", "MY_POD_NAME=aws-node-x",
	}
	machine := []string{"PATH=/bin", "AWS_REGION=us-west-2", "AWS_ENDPOINT_URL_EC2=http://localhost", "KUBERNETES_SERVICE_HOST=10.0.0.1", "VPC_SNAT_BACKEND=auto", "broken"}
	if got := FindUnread(append(stockManifest, machine...)); got != nil {
		t.Errorf("a node with the stock manifest's defaults is told of %+v", got)
	}
	var names []string
	for _, u := range FindUnread([]string{
		"ENABLE_IPv6=True", "ENABLE_IPv4=0", "ANNOTATE_POD_IP=1", "AWS_EC2_ENDPOINT=https://ec2", "HTTP_TIMEOUT=30", "HTTP_TIMEOUT_X=1", "DISABLE_TCP_EARLY_DEMUX=true",
		"AWS_VPC_K8S_CNI_LOG_FILE=stdout", "AWS_VPC_K8S_PLUGIN_LOG_FILE=/tmp/x", "ENABLE_MULTI_NIC=", "ENABLE_IMDS_ONLY_MODE=maybe",
		"WARM_IP_TARGTE=5", "AWS_VPC_K8S_CNI_EXTERNAL_SNAT=true", "NETWORK_POLICY_ENFORCING_MODE=strict",
	}) {
		names = append(names, u.Name)
		if u.Instead == "" {
			t.Errorf("nothing is said about %s", u.Name)
		}
	}
	want := []string{
		"ANNOTATE_POD_IP", "AWS_EC2_ENDPOINT", "AWS_VPC_K8S_CNI_EXTERNAL_SNAT", "AWS_VPC_K8S_PLUGIN_LOG_FILE", "ENABLE_IMDS_ONLY_MODE", "ENABLE_IPv4", "ENABLE_IPv6",
		"HTTP_TIMEOUT", "NETWORK_POLICY_ENFORCING_MODE", "WARM_IP_TARGTE",
	}
	if d := cmp.Diff(want, names); d != "" {
		t.Errorf("settings that nobody reads (-want +got):\n%s", d)
	}
}

// No name that is read looks like a mistake.
func TestNoSettingIsUnread(t *testing.T) {
	var environ []string
	for _, s := range Settings() {
		environ = append(environ, s.Name+"=x")
	}
	for _, k := range snat.Keys() {
		environ = append(environ, k.Env+"=x")
	}
	for _, s := range readHere() {
		environ = append(environ, s.Name+"=x")
	}
	if got := FindUnread(environ); got != nil {
		t.Errorf("%+v", got)
	}
	if !slices.IsSortedFunc(StockNames(), func(a, b StockName) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("the names are not in order")
	}
}
