package sgpp

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// golden compares with testdata/<name>.txt; UPDATE=1 rewrites it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".txt")
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s:\n%s", name, diff)
	}
}

// The whole of what a branch costs, step by step, in both modes.
func TestPlans(t *testing.T) {
	for _, mode := range []string{"strict", "standard"} {
		t.Run(mode, func(t *testing.T) {
			f := newFake()
			k, b := f.keeper(), fakeBranch("web", 5, mode)
			exceptional := fakeBranch("db", 154, mode)
			f.veth(b)
			f.veth(exceptional)
			section := func(name string, err error) {
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				f.log = append(f.log, "# "+name)
			}
			section("the first ADD", k.Add(b, fakeNode()))
			section("the second ADD, of VLAN 154", k.Add(exceptional, fakeNode()))
			section("its DEL", k.Del(Leaving{ContainerID: "c-db", IfName: "eth0", Branch: exceptional}))
			section("the last DEL", k.Del(Leaving{ContainerID: "c-web", IfName: "eth0"}))
			section("DEL again", k.Del(Leaving{ContainerID: "c-web", IfName: "eth0"}))
			golden(t, mode, strings.Join(f.log, "\n")+"\n")
		})
	}
}

// An ADD that fails at any of its steps leaves nothing, and the node as it was.
func TestAddUndoesItself(t *testing.T) {
	for _, mode := range []string{"strict", "standard"} {
		for at := range 20 {
			f := newFake()
			b := fakeBranch("web", 5, mode)
			f.veth(b)
			before := f.text()
			n, failed := 0, false
			f.after = func(s step) error {
				if n++; n-1 == at {
					failed = true
					return unix.ENOMEM
				}
				return nil
			}
			err := f.keeper().Add(b, fakeNode())
			if !failed {
				if at < 8 || err != nil {
					t.Fatalf("%s: only %d steps, %v", mode, at, err)
				}
				break
			}
			if !errors.Is(err, unix.ENOMEM) {
				t.Errorf("%s, step %d: error %v", mode, at, err)
			}
			if diff := cmp.Diff(before, f.text()); diff != "" {
				t.Errorf("%s: a failure at step %d left\n%s", mode, at, diff)
			}
		}
	}
}

// text is the fake as a test compares it; rule 512 is all pods' and stays.
func (f *fake) text() []string {
	var out []string
	for _, l := range f.links {
		up := "down"
		if l.Up {
			up = "up"
		}
		out = append(out, "link "+l.Name+" "+up+" "+l.Alias)
	}
	for _, r := range f.rules {
		if r != podsRule() {
			out = append(out, "rule "+r.String())
		}
	}
	for _, r := range f.routes {
		out = append(out, "route "+r.String())
	}
	for path, value := range f.sysctls {
		out = append(out, path+" "+value)
	}
	for path, value := range f.saved {
		out = append(out, "saved "+path+" "+value)
	}
	slices.Sort(out)
	return out
}

func TestAddRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(f *fake, b *Branch, n *Node)
		want   error
		text   string
	}{
		"no such trunk": {func(_ *fake, _ *Branch, n *Node) { n.TrunkMAC = "02:ff:00:00:00:01" }, ErrNoTrunk, "02:ff:00:00:00:01"},
		"trunk unnamed": {func(_ *fake, _ *Branch, n *Node) { n.TrunkMAC = "" }, ErrNoTrunk, ""},
		"veth gone":     {func(f *fake, b *Branch, _ *Node) { l, _ := f.byName(b.HostVeth); f.remove(l.Index) }, ErrNoVeth, "eniweb"},
		"veth another's": {func(f *fake, b *Branch, _ *Node) {
			l, _ := f.byName(b.HostVeth)
			x, _ := f.at(l.Index)
			x.Alias = "vpc/new/eth0"
		}, ErrNoVeth, "vpc/new/eth0"},
		"name taken": {func(f *fake, b *Branch, _ *Node) { f.add(link{Name: b.Link(), Kind: "bridge"}) }, ErrTaken, "bridge"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake()
			b, n := fakeBranch("web", 5, "strict"), fakeNode()
			f.veth(b)
			tc.change(f, &b, &n)
			before := f.text()
			err := f.keeper().Add(b, n)
			if !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("error %v, want %v with %q", err, tc.want, tc.text)
			}
			if diff := cmp.Diff(before, f.text()); diff != "" {
				t.Errorf("a refused ADD changed\n%s", diff)
			}
		})
	}
}

func TestValidate(t *testing.T) {
	good := fakeBranch("web", 5, "strict")
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for text, change := range map[string]func(b *Branch){
		"VLAN id 0":    func(b *Branch) { b.VLAN = 0 },
		"VLAN id 4095": func(b *Branch) { b.VLAN = 4095 },
		"VLAN id -1":   func(b *Branch) { b.VLAN = -1 },
		`"x" is not`:   func(b *Branch) { b.MAC = "x" },
		`"01:00:5e`:    func(b *Branch) { b.MAC = "01:00:5e:00:00:01" },
		"only IPv4":    func(b *Branch) { b.Addr = netip.MustParseAddr("2001:db8::1") },
		"router":       func(b *Branch) { b.Gateway = netip.Addr{} },
		"must be the":  func(b *Branch) { b.Gateway = b.Addr },
		"host veth":    func(b *Branch) { b.HostVeth = "" },
		`mode "loose"`: func(b *Branch) { b.Mode = "loose" },
		`mode ""`:      func(b *Branch) { b.Mode = "" },
	} {
		b := good
		change(&b)
		if err := b.Validate(); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("error %v, want %q", err, text)
		}
	}
}

// CHECK says what is wrong, for every promise.
func TestCheckNamesTheDifference(t *testing.T) {
	without := func(p func(rule) bool) func(f *fake) {
		return func(f *fake) { f.rules = slices.DeleteFunc(f.rules, p) }
	}
	routeless := func(dst string) func(f *fake) {
		return func(f *fake) {
			f.routes = slices.DeleteFunc(f.routes, func(r route) bool { return r.Dst == netip.MustParsePrefix(dst) })
		}
	}
	vlan := func(change func(l *link)) func(f *fake) {
		return func(f *fake) { l, _ := f.byName("vlan.eth.5"); x, _ := f.at(l.Index); change(x) }
	}
	trunk := func(change func(l *link)) func(f *fake) {
		return func(f *fake) { l, _ := f.byName("ens6"); x, _ := f.at(l.Index); change(x) }
	}
	both := map[string]func(f *fake){
		"VLAN link vlan.eth.5 is missing": func(f *fake) { l, _ := f.byName("vlan.eth.5"); f.remove(l.Index) },
		"alias \"vpc/other/eth0\"":        vlan(func(l *link) { l.Alias = "vpc/other/eth0" }),
		"has id 6":                        vlan(func(l *link) { l.VLAN = 6 }),
		"MAC 02:00:00:00:00:99":           vlan(func(l *link) { l.MAC = "02:00:00:00:00:99" }),
		"MTU 1500":                        vlan(func(l *link) { l.MTU = 1500 }),
		"or its trunk ens6 is down":       trunk(func(l *link) { l.Up = false }),
		"no link has the trunk":           trunk(func(l *link) { l.MAC = "02:00:00:00:00:98" }),
		"host veth eniweb":                func(f *fake) { l, _ := f.byName("eniweb"); x, _ := f.at(l.Index); x.Up = false },
		"no route 10.20.64.1/32":          routeless("10.20.64.1/32"),
		"no route default via":            routeless("0.0.0.0/0"),
		"no route 10.20.64.15/32":         routeless("10.20.64.15/32"),
	}
	strict := map[string]func(f *fake){
		`rule "10: iif eniweb`:      without(func(r rule) bool { return r.IIF == "eniweb" }),
		`rule "10: iif vlan.eth.5`:  without(func(r rule) bool { return r.IIF == "vlan.eth.5" }),
		"rule 20 (lookup local)":    without(func(r rule) bool { return r.Priority == vpcnet.RuleLocal }),
		"looked up before rule 10":  func(f *fake) { f.rules = append(f.rules, localAt(0, protocolKernel)) },
		"sysctl net/ipv4/udp_early": func(f *fake) { f.sysctls["net/ipv4/udp_early_demux"] = "1" },
		"table 5120 has the route": func(f *fake) {
			f.routes = append(f.routes, route{Table: 5120, Dst: netip.MustParsePrefix("10.20.64.15/32"), Dev: "eniweb"})
		},
	}
	standard := map[string]func(f *fake){
		`rule "1536: from 10.20.64.15`: without(func(r rule) bool { return r.Priority == vpcnet.RuleFrom }),
		`rule "512:`:                   without(func(r rule) bool { return r.Priority == vpcnet.RulePods }),
	}
	for mode, breaks := range map[string][]map[string]func(f *fake){"strict": {both, strict}, "standard": {both, standard}} {
		for _, list := range breaks {
			for text, change := range list {
				f := newFake()
				b := fakeBranch("web", 5, mode)
				f.veth(b)
				if err := errors.Join(f.keeper().Add(b, fakeNode()), f.keeper().Check(b, fakeNode())); err != nil {
					t.Fatal(err)
				}
				// The mode of a pod stays when the node's changes.
				b.Mode = map[string]string{"strict": "standard", "standard": "strict"}[mode]
				if err := f.keeper().Check(b, fakeNode()); err != nil {
					t.Errorf("%s pod after a change of the node's mode: %v", mode, err)
				}
				b.Mode = mode
				change(f)
				if err := f.keeper().Check(b, fakeNode()); err == nil || !strings.Contains(err.Error(), text) {
					t.Errorf("%s: error %v, want %q", mode, err, text)
				}
			}
		}
	}
}
