package rebuild

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vpcchain/vpcchain/daemon/internal/hostnet"
	"github.com/vpcchain/vpcchain/daemon/internal/state"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// kernel has traces, and remembers aliases as veths do.
type kernel struct{ seen []hostnet.Witness }

func (k *kernel) Witnesses(context.Context, ...string) ([]hostnet.Witness, error) { return k.seen, nil }

func (k *kernel) SetAlias(link string, a vpcnet.Attachment) error {
	found := false
	for i, w := range k.seen {
		if w.Link == link {
			k.seen[i].Attachment, found = a, true
		}
	}
	if !found {
		return errors.New("no such link")
	}
	return nil
}

// stockNode is a host that the stock daemon ran so far: web runs, gone does not.
type stockNode struct {
	*Rebuilder
	kernel *kernel
	state  string
}

func newStockNode(t *testing.T, checkpoint string) *stockNode {
	t.Helper()
	dir := t.TempDir()
	n := &stockNode{kernel: &kernel{seen: []hostnet.Witness{veth(stockVeth("web"), "", "10.0.0.1")}}, state: filepath.Join(dir, "ipamd.db")}
	n.Rebuilder = &Rebuilder{Kernel: n.kernel, Checkpoint: filepath.Join(dir, "ipam.json"), VethPrefix: "eni", Log: slog.New(slog.DiscardHandler)}
	if err := os.WriteFile(n.Checkpoint, []byte(checkpoint), 0o600); err != nil {
		t.Fatal(err)
	}
	return n
}

// start is a start of the daemon; it returns the plan and what the file holds then.
func (n *stockNode) start(t *testing.T) (Plan, string, error) {
	t.Helper()
	s, err := state.Open(n.state)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	n.Books = s
	known, _, err := s.Load()
	if err != nil {
		t.Fatal(err)
	}
	p, err := n.Recover(t.Context(), node(), known)
	held, _, lerr := s.Load()
	if lerr != nil {
		t.Fatal(lerr)
	}
	var out []string
	for _, h := range held {
		out = append(out, fmt.Sprintf("%s %s %s/%s", h.Attachment, h.Addr, h.Pod.Namespace, h.Pod.Name))
	}
	return p, strings.Join(out, ", "), err
}

const switchOver = `{"version":"vpc-cni-ipam/1","allocations":[
 {"networkName":"aws-cni","containerID":"c1","ifName":"eth0","ipv4":"10.0.0.1","metadata":{"k8sPodNamespace":"ns","k8sPodName":"web"}},
 {"networkName":"aws-cni","containerID":"c2","ifName":"eth0","ipv4":"10.0.0.2","metadata":{"k8sPodNamespace":"ns","k8sPodName":"gone"}}]}`

// The checkpoint is taken once: later starts do not read it, and a state that is
// lost after it finds the pods by the aliases, not by what the file once said.
func TestImportOnce(t *testing.T) {
	n := newStockNode(t, switchOver)
	want := "aws-cni/c1/eth0 10.0.0.1 ns/web"
	p, held, err := n.start(t)
	if err != nil || held != want || len(p.Dropped) != 1 {
		t.Fatalf("the books hold %q, %v; want %q; plan:\n%s", held, err, want, p)
	}
	n.kernel.seen = append(n.kernel.seen, veth(stockVeth("gone"), "", ""))
	if p, held, err := n.start(t); err != nil || held != want || len(p.Held) != 0 {
		t.Errorf("the second start: the books hold %q, %v; plan:\n%s", held, err, p)
	}
	// Another pod has the address by now: the kernel is right, the checkpoint old.
	n.kernel.seen = []hostnet.Witness{veth("eni9", "c9", "10.0.0.1")}
	if err := os.Remove(n.state); err != nil {
		t.Fatal(err)
	}
	if _, held, err := n.start(t); err != nil || held != "vpc/c9/eth0 10.0.0.1 /" {
		t.Errorf("after the loss: the books hold %q, %v", held, err)
	}
}

// A checkpoint that cannot be read stops the start, and nothing is written: the
// next start tries again. Without one there is nothing to import.
func TestBadCheckpoint(t *testing.T) {
	n := newStockNode(t, `{"version":"vpc-cni-ipam/2"}`)
	for range 2 {
		_, held, err := n.start(t)
		if err == nil || !strings.Contains(err.Error(), n.Checkpoint) || !strings.Contains(err.Error(), "remove the file") || held != "" {
			t.Errorf("held %q, %v", held, err)
		}
	}
	if err := os.Remove(n.Checkpoint); err != nil {
		t.Fatal(err)
	}
	if p, held, err := n.start(t); err != nil || held != "" || p.Withheld[netip.MustParseAddr("10.0.0.1")] == "" {
		t.Errorf("without a checkpoint: held %q, %v; its pod's address must be withheld:\n%s", held, err, p)
	}
}
