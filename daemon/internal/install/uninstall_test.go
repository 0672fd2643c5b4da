package install

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vpcchain/vpcchain/daemon/internal/checkpoint"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// fakeNode is kernel and books of a node.
type fakeNode struct {
	pods    []vpcnet.Attachment
	held    []checkpoint.Entry
	stock   bool // what is there is the stock CNI's
	running bool
	objects []string
	broken  error
	locked  bool
}

func (f *fakeNode) Pods(context.Context) ([]vpcnet.Attachment, error) { return f.pods, nil }

func (f *fakeNode) Remove(_ context.Context, pods, dry bool) ([]string, error) {
	was := slices.Clone(f.objects)
	if f.broken != nil {
		return nil, f.broken
	}
	if !dry {
		f.objects = nil
		if pods {
			f.pods = nil
		}
	}
	return was, nil
}

func (f *fakeNode) HandOver(_ context.Context, dry bool) ([]string, error) {
	if f.broken == nil && !dry {
		f.stock, f.pods = true, nil
	}
	return f.objects, f.broken
}

func (f *fakeNode) Take() ([]checkpoint.Entry, func() error, error) {
	if f.running {
		return nil, nil, errors.New("locked: stop vpc-ipamd first")
	}
	f.locked = true
	return f.held, func() error { f.locked = false; return nil }, nil
}

// files are those of the node, with their content.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		rest := strings.TrimPrefix(path, dir)
		if err != nil || e.IsDir() || strings.HasPrefix(rest, "/src") {
			return err
		}
		out[rest] = get(t, path)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// installedTree is a node that the chain is installed on, and its files of before.
func installedTree(t *testing.T) (dir string, before map[string]string, r Removal) {
	t.Helper()
	dir, flags := tree(t, all...)
	place(t, dir+"/bin/portmap", "old portmap", 0o755)
	place(t, dir+"/bin/tuning", "old tuning", 0o755)
	place(t, dir+"/net.d/10-aws.conflist", "{}", 0o644)
	place(t, dir+"/rt/other.conf", "7 seven", 0o644)
	before = files(t, dir)
	if _, err := install(t, fakeDaemon{}, append(flags, "--retire=10-aws.conflist")...); err != nil {
		t.Fatal(err)
	}
	place(t, dir+"/run/ipamd.db", "", 0o600)
	place(t, dir+"/run/node.json", "{}", 0o600)
	place(t, dir+"/run/spool/release", "{}", 0o600)
	place(t, dir+"/run/trace/trace.log", "", 0o600)
	return dir, before, Removal{BinDir: dir + "/bin", StateDir: dir + "/run"}
}

func take(t *testing.T, r Removal, f *fakeNode) (said string, err error) {
	t.Helper()
	var lines []string
	err = Uninstall(t.Context(), r, f, f, func(what Change) { lines = append(lines, what.String()) })
	if f.locked {
		t.Error("the books stay locked")
	}
	return strings.Join(lines, "\n"), err
}

func TestUninstall(t *testing.T) {
	dir, before, r := installedTree(t)
	f := &fakeNode{objects: []string{"rule del 512"}}
	r.DryRun = true
	during := files(t, dir)
	dry, err := take(t, r, f)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(during, files(t, dir)); diff != "" || len(f.objects) == 0 {
		t.Errorf("the dry run changed\n%s", diff)
	}
	r.DryRun = false
	said, err := take(t, r, f)
	if err != nil || said != dry {
		t.Errorf("did\n%s\nnot\n%s\n%v", said, dry, err)
	}
	golden(t, "uninstall", strings.ReplaceAll(said, dir, "")+"\n")
	if diff := cmp.Diff(before, files(t, dir)); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
	if said, err = take(t, r, f); err != nil || !strings.HasPrefix(said, "note: ") || strings.Contains(said, "\n") {
		t.Errorf("the second time: %s, %v", said, err)
	}
}

func TestUninstallRefuses(t *testing.T) {
	pod := vpcnet.Attachment{Network: "vpc", ContainerID: "c1", IfName: "eth0"}
	for want, f := range map[string]*fakeNode{
		"stop vpc-ipamd first":               {running: true},
		"1 pods use this chain (vpc/c1/eth0": {pods: []vpcnet.Attachment{pod}, held: []checkpoint.Entry{{Attachment: pod}}},
		"(ptp/c1/eth0":                       {held: []checkpoint.Entry{{Attachment: vpcnet.Attachment{Network: "ptp", ContainerID: "c1", IfName: "eth0"}}}},
		", …)":                               {pods: make([]vpcnet.Attachment, 6), held: make([]checkpoint.Entry, 6)},
	} {
		dir, _, r := installedTree(t)
		during := files(t, dir)
		if _, err := take(t, r, f); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error %v lacks %q", err, want)
		}
		if diff := cmp.Diff(during, files(t, dir)); diff != "" {
			t.Errorf("%s: changed\n%s", want, diff)
		}
		r.DryRun = true
		if said, err := take(t, r, f); err != nil || !strings.Contains(said, want) {
			t.Errorf("a dry run says %s, %v", said, err)
		}
	}
	_, _, r := installedTree(t)
	r.Force = true
	f := &fakeNode{pods: []vpcnet.Attachment{pod}, objects: []string{"link"}}
	if _, err := take(t, r, f); err != nil || len(f.pods) > 0 {
		t.Errorf("by force: %v, %v", f.pods, err)
	}
}

// What fails does not keep the rest, and the second call finds it.
func TestUninstallGoesOn(t *testing.T) {
	dir, before, r := installedTree(t)
	f := &fakeNode{broken: errors.New("netlink is tired"), objects: []string{"rule del 512"}}
	if _, err := take(t, r, f); !errors.Is(err, f.broken) {
		t.Errorf("the error is %v", err)
	}
	if _, err := os.Stat(dir + "/bin/vpc-veth"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the plugin is there: %v", err)
	}
	f.broken = nil
	if _, err := take(t, r, f); err != nil || len(f.objects) > 0 {
		t.Errorf("the second time: %v, left %v", err, f.objects)
	}
	if diff := cmp.Diff(before, files(t, dir)); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
}

// A stock daemon that writes its conflist again keeps the new one.
func TestUninstallLeavesWhatCameBack(t *testing.T) {
	dir, before, r := installedTree(t)
	place(t, dir+"/net.d/10-aws.conflist", "newer", 0o644)
	before["/net.d/10-aws.conflist"] = "newer"
	if _, err := take(t, r, &fakeNode{}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, files(t, dir)); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
}

func TestParseRemoval(t *testing.T) {
	r, err := ParseRemoval([]string{"--force"}, environment(map[string]string{"HOST_CNI_BIN_PATH": "/host/opt/cni/bin"}))
	if want := (Removal{BinDir: "/host/opt/cni/bin", StateDir: "/run/vpc-cni", Force: true, Checkpoint: checkpoint.DefaultPath}); err != nil || r != want {
		t.Errorf("%+v, %v", r, err)
	}
	for _, args := range [][]string{{"--bin-dir=x"}, {"--state-dir=x"}, {"x"}, {"--nope"}, {"--force", "--to-stock"}} {
		if _, err := ParseRemoval(args, none); err == nil {
			t.Errorf("%v is taken", args)
		}
	}
}

// The stock daemon's checkpoint is there before the kernel is its own; what cannot
// be handed over stays ours.
func TestToStock(t *testing.T) {
	pod := vpcnet.Attachment{Network: "vpc", ContainerID: "c1", IfName: "eth0"}
	entry := checkpoint.Entry{Attachment: pod, Addr: netip.MustParseAddr("10.0.0.7"), Namespace: "default", Name: "web", Since: time.Unix(7, 0)}
	nameless := entry
	nameless.Name = ""
	for name, tc := range map[string]struct {
		node fakeNode
		want string // of the error
	}{
		"all in order":           {fakeNode{pods: []vpcnet.Attachment{pod}, held: []checkpoint.Entry{entry}}, ""},
		"a pod without a name":   {fakeNode{pods: []vpcnet.Attachment{pod}, held: []checkpoint.Entry{nameless}}, "delete this one first"},
		"a pod not in the books": {fakeNode{pods: []vpcnet.Attachment{pod}}, "not in the books"},
		"a kernel that refuses":  {fakeNode{pods: []vpcnet.Attachment{pod}, held: []checkpoint.Entry{entry}, broken: errors.New("no")}, "no"},
		"an empty node":          {fakeNode{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir, before, r := installedTree(t)
			r.ToStock, r.Checkpoint = true, dir+"/aws/ipam.json"
			during := files(t, dir)
			f := tc.node
			_, err := take(t, r, &f)
			if tc.want != "" {
				if err == nil || !strings.Contains(err.Error(), tc.want) || f.stock {
					t.Errorf("error %v, stock %v", err, f.stock)
				}
				if diff := cmp.Diff(during, files(t, dir)); diff != "" {
					t.Errorf("(-before +after):\n%s", diff)
				}
				return
			}
			if err != nil || !f.stock {
				t.Errorf("error %v, stock %v", err, f.stock)
			}
			back, err := checkpoint.Read(r.Checkpoint, "vpc")
			if err != nil || !slices.Equal(back, f.held) {
				t.Errorf("the checkpoint has %v, %v", back, err)
			}
			after := files(t, dir)
			delete(after, "/aws/ipam.json")
			if diff := cmp.Diff(before, after); diff != "" {
				t.Errorf("(-before +after):\n%s", diff)
			}
		})
	}
}

// Whatever was killed while it wrote leaves nothing either, and what others have
// put there stays.
func TestStateGoesWithWhatIsHalfWritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "vpc-cni")
	if err := os.MkdirAll(filepath.Join(dir, "trace"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"ipamd.db", "ipamd.db.damaged", "ipamd.sock.new", "node.json", ".node-1.json", "wanted.json.new", "kube.json", "kube.json.new", "sysctl.json", "sysctl.json.new",
		"snat.json", "snat-verified.json", ".snat-1", "snat.lock", "sgpp.json", "sgpp.json.new", "sgpp.lock", "trace/trace.log", "another's",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := dropState(dir); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 || left[0].Name() != "another's" {
		t.Errorf("left: %v, %v", left, err)
	}
	if err := os.Remove(filepath.Join(dir, "another's")); err != nil {
		t.Fatal(err)
	}
	if err := dropState(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the directory is there: %v", err)
	}
}
