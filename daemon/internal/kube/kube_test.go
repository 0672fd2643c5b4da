package kube

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/pool"
)

func open(t *testing.T, path string) *Keeper {
	t.Helper()
	return Open(path, slog.New(slog.DiscardHandler))
}

func full() Report {
	return Report{
		Node:       &Node{Labels: map[string]string{"zone": "a"}, Annotations: map[string]string{"k": "v"}, Taints: []Taint{{cordoned, "", "NoSchedule"}}},
		ENIConfigs: map[string]string{"green": `{"subnet":"subnet-1","securityGroups":["sg-1"]}`, "bad": `{"subnet":"vpc-1"}`},
		Pending:    []pool.Pod{{Namespace: "ns", Name: "a"}},
	}
}

func (k *Keeper) says() string {
	labels, annotations := k.Node()
	green, ok := k.Get("green")
	return fmt.Sprintf("%s %s %v %v %s %v %v", labels["zone"], annotations["k"], k.Names(), ok, green.Subnet, green.Groups, k.Cordoned())
}

// A daemon that starts again goes by the last report, without its pods: who
// reported them may be gone.
func TestReportOutlivesTheDaemon(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kube.json")
	k := open(t, path)
	if got := k.says(); got != "  [] false  [] false" {
		t.Errorf("before any report: %s", got)
	}
	if err := k.Report(full()); err != nil {
		t.Fatal(err)
	}
	const want = "a v [green] true subnet-1 [sg-1] true"
	for range 2 {
		if got := k.says(); got != want {
			t.Errorf("after it: %q, want %q", got, want)
		}
		if err := k.Trouble(); err == nil || !strings.Contains(err.Error(), `spec.subnet of bad is "vpc-1"`) {
			t.Errorf("trouble: %v", err)
		}
		k = open(t, path)
	}
	if p := k.Pending(); p != nil {
		t.Errorf("pods of another life: %v", p)
	}
}

// What vpc-kube does not know now stays as it was; what it knows is replaced.
func TestWhatIsNotKnownStays(t *testing.T) {
	k := open(t, filepath.Join(t.TempDir(), "kube.json"))
	for _, r := range []Report{full(), {Pending: nil}} {
		if err := k.Report(r); err != nil {
			t.Fatal(err)
		}
	}
	if _, ok := k.Get("green"); !ok || !k.Cordoned() {
		t.Error("a report without node and ENIConfigs took them away")
	}
	if err := k.Report(Report{Node: &Node{}, ENIConfigs: map[string]string{}}); err != nil {
		t.Fatal(err)
	}
	if labels, _ := k.Node(); len(labels) > 0 || len(k.Names()) > 0 || k.Cordoned() || k.Trouble() != nil {
		t.Errorf("an empty report left %v, %v, %v", labels, k.Names(), k.Trouble())
	}
}

func TestDamagedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kube.json")
	if err := os.WriteFile(path, []byte(`{"node":`), 0o600); err != nil {
		t.Fatal(err)
	}
	k := open(t, path)
	if err := k.Report(full()); err != nil {
		t.Fatal(err)
	}
	if !open(t, path).Cordoned() {
		t.Error("the next report did not replace a damaged file")
	}
}

// A report that cannot be written counts, and is written with the next one.
func TestFullDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "missing")
	path := filepath.Join(dir, "kube.json")
	k := open(t, path)
	if err := k.Report(full()); err == nil {
		t.Error("writing into a directory that is not there succeeds")
	}
	if !k.Cordoned() {
		t.Error("the report does not count")
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := k.Report(full()); err != nil {
		t.Fatal(err)
	}
	if !open(t, path).Cordoned() {
		t.Error("the same report was not written when it could be")
	}
}

func changed(k *Keeper) bool {
	select {
	case <-k.Changes():
		return true
	default:
		return false
	}
}

func TestPendingTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := open(t, filepath.Join(t.TempDir(), "kube.json"))
		moved := 0
		k.Moved = func() { moved++ }
		report := func() {
			t.Helper()
			if err := k.Report(full()); err != nil {
				t.Fatal(err)
			}
		}
		report()
		if len(k.Pending()) != 1 || !changed(k) || moved != 1 {
			t.Errorf("after a report: pending %v, moved %d", k.Pending(), moved)
		}
		time.Sleep(pendingFor - time.Second)
		report()
		if changed(k) || moved != 1 {
			t.Error("the same report is told as news")
		}
		time.Sleep(pendingFor - time.Second)
		if len(k.Pending()) != 1 {
			t.Error("pods reported again are forgotten")
		}
		time.Sleep(time.Second)
		if p := k.Pending(); p != nil {
			t.Errorf("after %v: %v", pendingFor, p)
		}
		report()
		if !changed(k) {
			t.Error("pods that are expected again are no news")
		}
	})
}

func texts(list []Failure) string {
	var out []string
	for _, f := range list {
		out = append(out, f.Pod.Name+":"+f.Text)
	}
	return strings.Join(out, " ")
}

func TestFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := open(t, filepath.Join(t.TempDir(), "kube.json"))
		fail := func(pod, text string) { k.Failed(pool.Pod{Namespace: "ns", Name: pod, UID: "u"}, errors.New(text)) }
		want := func(heard Heard, want string) Heard {
			t.Helper()
			list, next := k.Failures(heard)
			if got := texts(list); got != want {
				t.Errorf("failures %q, want %q", got, want)
			}
			return next
		}
		k.Failed(pool.Pod{Name: "of podman"}, errors.New("nobody to tell"))
		fail("a", "1")
		fail("b", "1")
		fail("a", "2")
		want(Heard{}, "b:1 a:2")
		heard := want(Heard{"another life", 99}, "b:1 a:2")
		fail("c", "1")
		heard = want(heard, "c:1")
		want(heard, "")
		for i := range 2 * mostFailures {
			fail(fmt.Sprint(i), "x")
		}
		list, _ := k.Failures(heard)
		if len(list) != mostFailures || !slices.ContainsFunc(list, func(f Failure) bool { return f.Pod.Name == "199" }) {
			t.Errorf("%d failures are kept, the last is %s", len(list), list[len(list)-1].Pod.Name)
		}
		time.Sleep(failureFor + time.Second)
		fail("late", "x")
		want(heard, "late:x")
	})
}
