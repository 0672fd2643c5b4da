package install

import (
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

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

// fakeDaemon serves from the given time on.
type fakeDaemon struct{ from time.Time }

var errStarting = errors.New("it looks for its ENIs")

func (d fakeDaemon) Status(context.Context) error {
	if time.Now().Before(d.from) {
		return errStarting
	}
	return nil
}

// tree is a node with sources, as an empty directory each.
func tree(t *testing.T, plugins ...string) (dir string, flags []string) {
	t.Helper()
	dir = t.TempDir()
	for _, p := range plugins {
		place(t, filepath.Join(dir, "src", p), "new "+p, 0o755)
	}
	return dir, []string{"--source=" + dir + "/src", "--bin-dir=" + dir + "/bin", "--conf-dir=" + dir + "/net.d", "--rt-tables-dir=" + dir + "/rt", "--wait=10s"}
}

func place(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

var all = []string{"vpc-ipam", "vpc-veth", "vpc-snat", "vpc-sgpp", "portmap", "bandwidth", "loopback"}

func install(t *testing.T, d Daemon, args ...string) (Plan, error) {
	t.Helper()
	p, err := New(parse(t, none, args...))
	if err != nil {
		t.Fatal(err)
	}
	return p, p.Apply(t.Context(), d, func(string) {})
}

// The plan for a node with other plugins and conflists, as text; what it leaves;
// that a second run does nothing; that a changed setting is one file.
func TestInstall(t *testing.T) {
	dir, flags := tree(t, all...)
	place(t, dir+"/bin/portmap", "old portmap", 0o755)
	place(t, dir+"/bin/loopback", "old loopback", 0o755)
	place(t, dir+"/bin/vpc-ipam", "old vpc-ipam", 0o755)
	place(t, dir+"/net.d/10-aws.conflist", "{}", 0o644)
	place(t, dir+"/net.d/05-other.conf", "{}", 0o644)
	running, err := os.Open(dir + "/bin/vpc-ipam")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = running.Close() }()
	flags = append(flags, "--retire=10-aws.conflist")
	p, err := install(t, fakeDaemon{}, flags...)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "plan", strings.ReplaceAll(p.String(), dir, ""))
	if got := get(t, dir+"/bin/vpc-ipam"); got != "new vpc-ipam" {
		t.Errorf("vpc-ipam is %q", got)
	}
	old := make([]byte, 100)
	if n, err := running.Read(old); string(old[:n]) != "old vpc-ipam" {
		t.Errorf("a plugin that runs reads %q of its file, %v", old[:n], err)
	}
	if got := get(t, dir+"/bin/portmap.before-vpcchain"); got != "old portmap" {
		t.Errorf("of before: %q", got)
	}
	if got := get(t, dir+"/bin/loopback"); got != "old loopback" {
		t.Errorf("loopback is %q", got)
	}
	for path, mode := range map[string]os.FileMode{"/bin/vpc-veth": 0o755, "/net.d/10-vpc.conflist": 0o644, "/rt/vpcchain.conf": 0o644} {
		if info, err := os.Stat(dir + path); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", path, info, err)
		}
	}
	if l, err := libcni.LoadConfList(dir+"/net.d", "vpc"); err != nil || l.CNIVersion != "1.1.0" {
		t.Errorf("libcni loads %v, %v", l, err)
	}
	for _, d := range []string{"/bin", "/net.d", "/rt"} {
		if left, _ := filepath.Glob(dir + d + "/.*.new"); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	}
	if p, err := install(t, fakeDaemon{time.Now().Add(time.Hour)}, flags...); err != nil || len(p.steps) != 0 {
		t.Errorf("the second run did %s, %v", p, err)
	}
	p, err = install(t, fakeDaemon{}, append(flags, "--mtu=1500")...)
	if err != nil || len(p.steps) != 2 || p.steps[1].path != dir+"/net.d/10-vpc.conflist" {
		t.Errorf("the run with another MTU did %s, %v", p, err)
	}
	if !strings.Contains(get(t, dir+"/net.d/10-vpc.conflist"), `"mtu": 1500`) {
		t.Error("the conflist has no MTU")
	}
	// Under another name the one of before goes; the retired one comes no more.
	place(t, dir+"/net.d/10-aws.conflist", "{}", 0o644)
	if _, err = install(t, fakeDaemon{}, append(flags[:len(flags)-1], "--file=07-vpc.conflist")...); err != nil {
		t.Fatal(err)
	}
	var names []string
	entries, err := os.ReadDir(dir + "/net.d")
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if want := []string{"05-other.conf", "07-vpc.conflist", "10-aws.conflist.before-vpcchain"}; !slices.Equal(names, want) {
		t.Errorf("conflists are %q, %v, want %q", names, err, want)
	}
}

// Without the daemon there is no conflist, and the error says why.
func TestNoConflistBeforeTheDaemonServes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, flags := tree(t, all...)
		start := time.Now()
		_, err := install(t, fakeDaemon{start.Add(time.Minute)}, flags...)
		if !errors.Is(err, errStarting) || !strings.Contains(err.Error(), "not written") {
			t.Errorf("the error is %v", err)
		}
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("waited for %v", took)
		}
		if _, err := os.Stat(dir + "/net.d/10-vpc.conflist"); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the conflist is there: %v", err)
		}
		start = time.Now()
		if _, err := install(t, fakeDaemon{start.Add(3 * time.Second)}, flags...); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took < 3*time.Second || took > 3*time.Second+lookEvery {
			t.Errorf("a daemon that serves after 3 s was waited for for %v", took)
		}
		if _, err := os.Stat(dir + "/net.d/10-vpc.conflist"); err != nil {
			t.Error(err)
		}
	})
}

func TestMissingPlugin(t *testing.T) {
	_, flags := tree(t, all[:4]...)
	_, err := New(parse(t, none, flags...))
	if err == nil || !strings.Contains(err.Error(), "portmap") || !strings.Contains(err.Error(), "--source") {
		t.Errorf("without portmap: %v", err)
	}
	if _, err := New(parse(t, none, append(flags, "--portmap=false")...)); err != nil {
		t.Error(err)
	}
}

// A run that was killed at any step is completed by the next.
func TestKilledInstallation(t *testing.T) {
	for kill := range 12 {
		dir, flags := tree(t, all...)
		place(t, dir+"/bin/portmap", "old portmap", 0o755)
		p, err := New(parse(t, none, flags...))
		if err != nil {
			t.Fatal(err)
		}
		for i, s := range p.steps {
			if i == kill {
				break
			}
			if err := s.do(t.Context(), fakeDaemon{}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := install(t, fakeDaemon{}, flags...); err != nil {
			t.Fatal(err)
		}
		if get(t, dir+"/bin/portmap") != "new portmap" || get(t, dir+"/bin/portmap.before-vpcchain") != "old portmap" {
			t.Errorf("killed before step %d: portmap is %q", kill, get(t, dir+"/bin/portmap"))
		}
		r, _, err := readRecord(dir + "/bin")
		if want := []string{"loopback", "portmap", "vpc-ipam", "vpc-sgpp", "vpc-snat", "vpc-veth"}; err != nil || !slices.Equal(r.Plugins, want) {
			t.Errorf("killed before step %d: the record has %v, %v", kill, r.Plugins, err)
		}
	}
}
