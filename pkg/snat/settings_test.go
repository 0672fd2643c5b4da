package snat

import (
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

// scenario is the node of testdata: two VPC CIDRs, custom networking.
func scenario(t testing.TB, extra ...Texts) Settings {
	t.Helper()
	s, err := Parse(append([]Texts{{"vpcCIDRs": "10.20.0.0/16,100.64.0.0/16", "nodeIP": "10.20.11.162", "primaryLink": "eth0"}}, extra...)...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestParse(t *testing.T) {
	for _, tc := range []struct {
		texts Texts
		words []string // of the error; none: it is fine
	}{
		{Texts{}, nil},
		{Texts{"externalSNAT": "TRUE", "connmark": "256", "excludeSNATCIDRs": " 192.0.2.0/24, ,198.51.100.7/32"}, nil},
		{Texts{"externalSNAT": "maybe"}, []string{"externalSNAT", "maybe", "true or false"}},
		{Texts{"randomizeSNAT": "dice"}, []string{"randomizeSNAT", "dice", "hashrandom"}},
		{Texts{"connmark": "0"}, []string{"connmark", `"0"`, "from 1"}},
		{Texts{"connmark": "0x100000000"}, []string{"connmark", "0x100000000"}},
		{Texts{"excludeSNATCIDRs": "2001:db8::/32"}, []string{"excludeSNATCIDRs", "2001:db8::/32", "IPv4"}},
		{Texts{"vpcCIDRs": "10.20.0.0"}, []string{"vpcCIDRs", "10.20.0.0"}},
		{Texts{"nodeIP": "::1"}, []string{"nodeIP", "::1"}},
		{Texts{"primaryLink": "eth0; reboot"}, []string{"primaryLink", "eth0; reboot"}},
		{Texts{"vethPrefix": "eth"}, []string{"vethPrefix", "eth"}},
		{Texts{"chainStyle": "round", "backend": "pf"}, []string{"chainStyle", "round", "backend", "pf", "nftables"}},
	} {
		_, err := Parse(tc.texts)
		if (err != nil) != (tc.words != nil) {
			t.Errorf("%v: %v", tc.texts, err)
		}
		for _, w := range tc.words {
			if err != nil && !strings.Contains(err.Error(), w) {
				t.Errorf("%v: %q does not say %q", tc.texts, err, w)
			}
		}
	}
}

func TestLaterLayersOverrule(t *testing.T) {
	s, err := Parse(Texts{"externalSNAT": "true", "connmark": "0x100"}, Texts{"externalSNAT": "false"}, Texts{"connmark": ""})
	if err != nil || s.External || s.Mark != 0x100 {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestFromEnv(t *testing.T) {
	env := map[string]string{"AWS_VPC_K8S_CNI_EXTERNALSNAT": "true", "AWS_VPC_K8S_CNI_RANDOMIZESNAT": "none"}
	got, err := FromEnv(func(k string) string { return env[k] })
	if diff := cmp.Diff(Texts{"externalSNAT": "true", "randomizeSNAT": "none"}, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
	env["AWS_VPC_K8S_CNI_CONNMARK"] = "x"
	if _, err := FromEnv(func(k string) string { return env[k] }); err == nil || !strings.Contains(err.Error(), `AWS_VPC_K8S_CNI_CONNMARK="x"`) {
		t.Errorf("%v", err)
	}
}

// The wanted state of each kind of node, as a person would list it.
func TestDesired(t *testing.T) {
	for name, texts := range map[string]Texts{
		"default":      {},
		"external":     {"externalSNAT": "true"},
		"nothing":      {"externalSNAT": "true", "nodePortSupport": "false"},
		"exclusions":   {"excludeSNATCIDRs": "192.168.0.0/16,10.20.5.0/24", "randomizeSNAT": "hashrandom"},
		"exclude-all":  {"excludeSNATCIDRs": "192.168.0.0/16,0.0.0.0/0,172.31.0.0/16"},
		"flat":         {"chainStyle": "flat", "excludeSNATCIDRs": "192.168.0.0/16,0.0.0.0/0", "randomizeSNAT": "none"},
		"nftables":     {"backend": "nftables", "connmark": "0x100"},
		"no-node-port": {"nodePortSupport": "false", "vethPrefix": "pod"},
	} {
		t.Run(name, func(t *testing.T) {
			got, file := scenario(t, texts).String(), filepath.Join("testdata", name+".txt")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestInternalIsDisjoint(t *testing.T) {
	s := scenario(t, Texts{"excludeSNATCIDRs": "10.20.5.0/24,10.0.0.0/8,192.0.2.0/24,10.20.0.0/16"})
	want := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/16"), netip.MustParsePrefix("192.0.2.0/24")}
	if diff := cmp.Diff(want, s.Internal(), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("true", "10.0.0.0/8,", "0x80", "eth0")
	f.Fuzz(func(t *testing.T, external, exclude, mark, link string) {
		s, err := Parse(Texts{"externalSNAT": external, "excludeSNATCIDRs": exclude, "connmark": mark, "primaryLink": link, "vpcCIDRs": "10.20.0.0/16", "nodeIP": "10.20.0.4"})
		if err != nil {
			return
		}
		// What was accepted makes no second command of an iptables-restore line.
		for _, table := range s.ipTables(true, true) {
			for _, c := range ipCommands(table, nil) {
				if strings.ContainsAny(c, "\n\r") {
					t.Errorf("%q", c)
				}
			}
		}
		for i, p := range s.Internal() {
			for _, q := range s.Internal()[:i] {
				if p.Overlaps(q) {
					t.Errorf("%s and %s overlap", p, q)
				}
			}
		}
	})
}
