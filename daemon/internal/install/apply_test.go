package install

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containernetworking/cni/libcni"
)

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
	return p, p.Apply(t.Context(), d, func(Change) {})
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
