package config

import (
	"slices"
	"strconv"
	"strings"

	"github.com/vpcchain/vpcchain/pkg/snat"
)

// StockName is an environment variable of the stock AWS VPC CNI's daemon or of
// its init container.
type StockName struct {
	Name    string
	Default string // there: of its manifest, else of its code
	// Instead says, where nothing of the chain reads the variable, why and what to do.
	Instead string
	idle    []string // values with which nobody misses anything, beside the default
}

// anyValue in StockName.idle: the variable changes nothing that a node has here.
const anyValue = "*"

// StockNames lists them by name, of version 1.23.1. Those of cni-metrics-helper,
// a program of its own, are not among them.
func StockNames() []StockName {
	all := append(readHere(), readNowhere()...)
	slices.SortFunc(all, func(a, b StockName) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// readHere are those that vpc-ipamd, vpc-kube or `vpcctl install` read.
func readHere() []StockName {
	var out []StockName
	for _, s := range []struct{ name, def string }{
		{"ADDITIONAL_ENI_TAGS", "{}"},
		{"AWS_EXTERNAL_SERVICE_CIDRS", ""},
		{"AWS_MANAGE_ENIS_NON_SCHEDULABLE", "false"},
		{"AWS_VPC_CNI_NODE_PORT_SUPPORT", "true"},
		{"AWS_VPC_ENI_MTU", "9001"},
		{"AWS_VPC_K8S_CNI_BACKING_STORE", "/var/run/aws-node/ipam.json"},
		{"AWS_VPC_K8S_CNI_CONNMARK", "0x80"},
		{"AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG", "false"},
		{"AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS", ""},
		{"AWS_VPC_K8S_CNI_EXTERNALSNAT", "false"},
		{"AWS_VPC_K8S_CNI_LOGLEVEL", "DEBUG"},
		{"AWS_VPC_K8S_CNI_RANDOMIZESNAT", "prng"},
		{"AWS_VPC_K8S_CNI_VETHPREFIX", "eni"},
		{"CLUSTER_ENDPOINT", ""},
		{"CLUSTER_NAME", ""},
		{"DISABLE_INTROSPECTION", "false"},
		{"DISABLE_LEAKED_ENI_CLEANUP", "false"},
		{"DISABLE_METRICS", "false"},
		{"DISABLE_POD_V6", "false"},
		{"ENABLE_BANDWIDTH_PLUGIN", "false"},
		{"ENABLE_POD_ENI", "false"},
		{"ENABLE_PREFIX_DELEGATION", "false"},
		{"ENABLE_SUBNET_DISCOVERY", "true"},
		{"ENI_CONFIG_ANNOTATION_DEF", eniConfigKey},
		{"ENI_CONFIG_LABEL_DEF", eniConfigKey},
		{"HOST_CNI_BIN_PATH", "/host/opt/cni/bin"},
		{"HOST_CNI_CONFDIR_PATH", "/host/etc/cni/net.d"},
		{"INTROSPECTION_BIND_ADDRESS", "127.0.0.1:61679"},
		{"IP_COOLDOWN_PERIOD", "30"},
		{"MAX_ENI", ""},
		{"MINIMUM_IP_TARGET", ""},
		{"POD_MTU", "that of AWS_VPC_ENI_MTU"},
		{"POD_SECURITY_GROUP_ENFORCING_MODE", "strict"},
		{"WARM_ENI_TARGET", "1"},
		{"WARM_IP_TARGET", ""},
		{"WARM_PREFIX_TARGET", "1"},
	} {
		out = append(out, StockName{Name: s.name, Default: s.def})
	}
	return out
}

// readNowhere are the others.
func readNowhere() []StockName {
	const (
		ipv4Only = "IPv4 only: on a node that needs IPv6 pods keep the stock CNI"
		stderr   = "logs go to standard error as JSON, for the container runtime or the journal to keep"
		noLog    = "the plugins write no log: what went wrong is in the answer that the runtime logs"
	)
	return []StockName{
		{"ANNOTATE_POD_IP", "false", "pods are not annotated; `status.podIP` of the pod has the address, `vpcctl pool` all of the node's", nil},
		{"AWS_EC2_ENDPOINT", "", "set the SDK's own AWS_ENDPOINT_URL_EC2", nil},
		{"AWS_VPC_K8S_CNI_CONFIGURE_RPFILTER", "true", "rp_filter of the primary link is always looked after; the stock CNI does not read it any more either", []string{anyValue}},
		{"AWS_VPC_K8S_CNI_LOG_FILE", "/host/var/log/aws-routed-eni/ipamd.log", stderr, []string{"stderr", "stdout"}},
		{"AWS_VPC_K8S_EGRESS_V4_PLUGIN_LOG_FILE", "/var/log/aws-routed-eni/egress-v4-plugin.log", "there is no egress-cni", []string{anyValue}},
		{"AWS_VPC_K8S_EGRESS_V6_PLUGIN_LOG_FILE", "/var/log/aws-routed-eni/egress-v6-plugin.log", "there is no egress-cni", []string{anyValue}},
		{"AWS_VPC_K8S_PLUGIN_LOG_FILE", "/var/log/aws-routed-eni/plugin.log", noLog, []string{"stderr"}},
		{"AWS_VPC_K8S_PLUGIN_LOG_LEVEL", "DEBUG", noLog, []string{anyValue}},
		{"DISABLE_NETWORK_RESOURCE_PROVISIONING", "false", "vpc-ipamd gets its addresses from EC2 itself; MAX_ENI bounds the ENIs, WARM_ENI_TARGET=0 keeps none ready", nil},
		{"DISABLE_TCP_EARLY_DEMUX", "false", "not needed: vpc-sgpp turns tcp_early_demux and udp_early_demux off while a strict pod is on the node, and back on after", []string{anyValue}},
		{"ENABLE_IMDS_ONLY_MODE", "false", "vpc-ipamd needs EC2's answers; an instance role with the policy of SECURITY.md, and a VPC endpoint for EC2 where there is no way out", nil},
		{"ENABLE_IPv4", "true", "always on", nil},
		{"ENABLE_IPv6", "false", ipv4Only, nil},
		{"ENABLE_MULTI_NIC", "false", "pods have addresses of ENIs of network card 0; a second interface of a pod is a second network of the runtime, with plugins of its own", nil},
		{"ENABLE_NFTABLES", "", "VPC_SNAT_BACKEND says where the SNAT is; the stock CNI does not read it any more either", []string{anyValue}},
		{"ENABLE_V4_EGRESS", "true", "of IPv6 clusters only", []string{anyValue}},
		{"ENABLE_V6_EGRESS", "false", ipv4Only, nil},
		{"HTTP_TIMEOUT", "10", "a request to EC2 has 10 s, as with the stock default", nil},
		{"MANAGE_UNTAGGED_ENI", "true", "tag an ENI that is to be left alone with node.k8s.amazonaws.com/no_manage=true", nil},
		{"MY_NODE_NAME", "", "vpc-kube reads NODE_NAME", []string{anyValue}},
		{"MY_POD_NAME", "", "not needed", []string{anyValue}},
		{"NETWORK_POLICY_ENFORCING_MODE", "standard", "no agent for network policies is called: run an engine of its own, or put its plugin behind the chain in the conflist", []string{"none"}},
		{"VPC_CNI_VERSION", "", "not needed", []string{anyValue}},
	}
}

// ours are the beginnings of names that nobody else gives a variable.
func ours() []string {
	return []string{"AWS_VPC_CNI_", "AWS_VPC_ENI_", "AWS_VPC_K8S_", "ENI_CONFIG_", "WARM_", "VPC_SNAT_"}
}

// Unread is a variable of the environment that somebody set to no effect.
type Unread struct {
	Name, Value string
	Instead     string
}

// FindUnread looks through an environment, as os.Environ has it, for settings of
// the stock CNI that change something there and nothing here, and for names that
// look like settings and are none.
func FindUnread(environ []string) []Unread {
	stock, known := map[string]StockName{}, map[string]bool{}
	for _, s := range StockNames() {
		stock[s.Name] = s
		if s.Instead == "" {
			known[s.Name] = true
		}
	}
	for _, s := range Settings() {
		known[s.Name] = true
	}
	for _, k := range snat.Keys() {
		known[k.Env] = true
	}
	var out []Unread
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		if value == "" || known[name] {
			continue
		}
		if s, ok := stock[name]; ok {
			if s.missed(value) {
				out = append(out, Unread{name, value, s.Instead})
			}
		} else if slices.ContainsFunc(ours(), func(p string) bool { return strings.HasPrefix(name, p) }) {
			out = append(out, Unread{name, value, "no setting has this name: docs/configuration.md lists them"})
		}
	}
	slices.SortFunc(out, func(a, b Unread) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// missed tells whether the value does something in the stock CNI that is not the default.
func (s StockName) missed(value string) bool {
	if strings.EqualFold(value, s.Default) || slices.Contains(s.idle, value) || slices.Contains(s.idle, anyValue) {
		return false
	}
	got, err := strconv.ParseBool(value)
	want, err2 := strconv.ParseBool(s.Default)
	return err != nil || err2 != nil || got != want
}
