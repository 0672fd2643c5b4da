package install

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containernetworking/cni/libcni"
	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

// shipped are the conflists that vpcctl install can write, with its flags.
var shipped = map[string][]string{
	"10-vpc.conflist":                   {"--portmap=false"},
	"10-vpc-portmap.conflist":           {"--name=vpc-portmap"},
	"10-vpc-bandwidth-portmap.conflist": {"--name=vpc-bandwidth-portmap", "--bandwidth"},
	"10-vpc-external-snat.conflist":     {"--name=vpc-external-snat", "--external-snat", "--portmap=false"},
	"10-vpc-prefix-custom.conflist":     {"--name=vpc-prefix-custom", "--timeout=60s", "--portmap=false"},
	"10-vpc-sgpp.conflist":              {"--name=vpc-sgpp", "--pod-eni", "--portmap=false"},
}

func none(string) string { return "" }

func environment(e map[string]string) func(string) string {
	return func(name string) string { return e[name] }
}

func parse(t *testing.T, getenv func(string) string, args ...string) Settings {
	t.Helper()
	s, err := Parse(args, getenv, "/opt/vpcchain")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// What ships is what the installer writes.
func TestShippedConflists(t *testing.T) {
	const dir = "../../../conflist"
	for name, args := range shipped {
		want, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
			continue
		}
		got, err := parse(t, none, args...).Network.Conflist()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s: vpcctl install %v (-shipped +written):\n%s", name, args, diff)
		}
	}
	// All of them, but the one whose main plugin is another's.
	files, err := filepath.Glob(dir + "/*.conflist")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if _, ok := shipped[filepath.Base(f)]; !ok && filepath.Base(f) != "10-ptp-vpc-ipam.conflist" {
			t.Errorf("%s is not among those that vpcctl install writes", f)
		}
	}
}

// The stock names give a conflist; golden, and libcni takes it at 1.1.0, and at
// 1.0.0 where it knows no other.
func TestConflistOfEnvironment(t *testing.T) {
	for name, env := range map[string]map[string]string{
		"everything": {
			"AWS_VPC_K8S_CNI_VETHPREFIX": "pod", "POD_MTU": "1500", "AWS_VPC_ENI_MTU": "9001", "AWS_VPC_K8S_CNI_EXTERNALSNAT": "FALSE",
			"AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS": "192.168.0.0/16,172.31.0.0/16", "AWS_VPC_K8S_CNI_RANDOMIZESNAT": "hashrandom",
			"AWS_VPC_K8S_CNI_CONNMARK": "0x100", "AWS_VPC_CNI_NODE_PORT_SUPPORT": "true", "ENABLE_POD_ENI": "true",
			"POD_SECURITY_GROUP_ENFORCING_MODE": "standard", "ENABLE_BANDWIDTH_PLUGIN": "true", "DISABLE_POD_V6": "true",
		},
		"eni-mtu": {"AWS_VPC_ENI_MTU": "1500", "POD_SECURITY_GROUP_ENFORCING_MODE": "strict"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parse(t, environment(env)).Network.Conflist()
			if err != nil {
				t.Fatal(err)
			}
			golden(t, name+".conflist", string(got))
			l, err := libcni.NetworkConfFromBytes(got)
			if err != nil || l.CNIVersion != "1.1.0" {
				t.Errorf("libcni takes %v, %v", l, err)
			}
		})
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// A flag overrules the environment, POD_MTU the ENI's.
func TestPrecedence(t *testing.T) {
	env := environment(map[string]string{"POD_MTU": "1500", "AWS_VPC_ENI_MTU": "2000", "ENABLE_BANDWIDTH_PLUGIN": "true", "HOST_CNI_BIN_PATH": "/host/opt/cni/bin"})
	if s := parse(t, env); s.Network.MTU != 1500 || !s.Network.Bandwidth || s.BinDir != "/host/opt/cni/bin" {
		t.Errorf("%+v", s)
	}
	if s := parse(t, env, "--mtu=3000", "--bandwidth=false"); s.Network.MTU != 3000 || s.Network.Bandwidth {
		t.Errorf("%+v", s)
	}
}

func TestBadSettings(t *testing.T) {
	for _, tc := range []struct {
		env  map[string]string
		args []string
		want []string
	}{
		{map[string]string{"POD_MTU": "9002"}, nil, []string{`POD_MTU="9002"`, "576 to 9001"}},
		{map[string]string{"AWS_VPC_K8S_CNI_VETHPREFIX": "vlan", "AWS_VPC_K8S_CNI_EXTERNALSNAT": "maybe"}, nil, []string{"AWS_VPC_K8S_CNI_VETHPREFIX", `EXTERNALSNAT="maybe"`, "true or false"}},
		{map[string]string{"AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS": "10.0.0.0/33"}, nil, []string{"EXCLUDE_SNAT_CIDRS", "IPv4 CIDRs"}},
		{map[string]string{"AWS_VPC_K8S_CNI_CONNMARK": "0"}, nil, []string{"CONNMARK"}},
		{map[string]string{"ENABLE_POD_ENI": "true", "POD_SECURITY_GROUP_ENFORCING_MODE": "loose"}, nil, []string{`MODE="loose"`, "strict, standard"}},
		{nil, []string{"--bandwidth=2"}, []string{`--bandwidth="2"`}},
		{nil, []string{"--name=a/b"}, []string{`--name="a/b"`}},
		{nil, []string{"--name=" + strings.Repeat("a", 175)}, []string{"174 characters"}},
		{nil, []string{"--file=../x.conflist"}, []string{"--file"}},
		{nil, []string{"--file=10-vpc.conf"}, []string{"--file", ".conflist"}},
		{nil, []string{"--retire=10-aws.conflist,../x.conf"}, []string{`"../x.conf"`}},
		{nil, []string{"--retire=10-vpc.conflist"}, []string{"--retire", "is installed"}},
		{nil, []string{"--bin-dir=opt"}, []string{"--bin-dir", "absolute"}},
		{nil, []string{"--source=/a:b"}, []string{`"b"`, "absolute"}},
		{nil, []string{"--wait=-1s"}, []string{"--wait"}},
		{nil, []string{"--timeout=20"}, []string{"--timeout"}},
		{nil, []string{"--nope"}, []string{"nope"}},
		{nil, []string{"more"}, []string{`"more"`}},
	} {
		_, err := Parse(tc.args, environment(tc.env), "/opt/vpcchain")
		if err == nil {
			t.Errorf("%v %v is taken", tc.env, tc.args)
			continue
		}
		for _, w := range tc.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%v %v: %q lacks %q", tc.env, tc.args, err, w)
			}
		}
	}
}

func FuzzSpaced(f *testing.F) {
	f.Add("vpc", "60s", "eni")
	f.Add(`a"b\`, `{":,}`, "\x00")
	f.Fuzz(func(t *testing.T, name, timeout, prefix string) {
		n := Network{Name: name, Timeout: timeout, VethPrefix: prefix, Bandwidth: true}
		raw, err := n.Conflist()
		if err != nil {
			t.Fatal(err)
		}
		l, err := libcni.NetworkConfFromBytes(raw)
		if err != nil && name != "" {
			t.Fatalf("%v: %s", err, raw)
		}
		if err == nil && len(l.Plugins) != 4 {
			t.Fatalf("%d plugins: %s", len(l.Plugins), raw)
		}
	})
}
