package install

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/vpcchain/vpcchain/daemon/internal/checkpoint"
	"github.com/vpcchain/vpcchain/daemon/internal/hostnet"
	"github.com/vpcchain/vpcchain/daemon/internal/state"
	"github.com/vpcchain/vpcchain/pkg/sgpp"
	"github.com/vpcchain/vpcchain/pkg/snat"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// Node is the Kernel of the network namespace that the process is in.
type Node struct{ StateDir string }

// Pods are the attachments that a link of the node has in its alias.
func (n Node) Pods(ctx context.Context) ([]vpcnet.Attachment, error) {
	h, err := hostnet.New(hostnet.Options{StateDir: n.StateDir})
	if err != nil {
		return nil, err
	}
	defer h.Close()
	found, err := h.Attachments(ctx)
	out := make([]vpcnet.Attachment, 0, len(found))
	for _, f := range found {
		out = append(out, f.Attachment)
	}
	return out, err
}

// Remove takes what the branch ENIs, the SNAT and the daemon have made, in the
// order in which the last is what carries the others' packets.
func (n Node) Remove(ctx context.Context, pods, dry bool) (removed []string, err error) {
	h, err := hostnet.New(hostnet.Options{StateDir: n.StateDir})
	if err != nil {
		return nil, err
	}
	defer h.Close()
	branches, err := sgpp.Open(n.StateDir)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, part := range []func() ([]string, error){
		func() ([]string, error) { return branches.Remove(dry) },
		func() ([]string, error) { return snat.New(n.StateDir).Remove(dry) },
		func() ([]string, error) { return h.Remove(ctx, hostnet.Removal{Pods: pods, Dry: dry}) },
	} {
		what, err := part()
		removed, errs = append(removed, what...), append(errs, err)
	}
	return removed, errors.Join(errs...)
}

// HandOver leaves the node as the stock CNI would have it. The NAT comes first:
// without it the stock daemon is not to begin.
func (n Node) HandOver(ctx context.Context, dry bool) (changed []string, err error) {
	h, err := hostnet.New(hostnet.Options{StateDir: n.StateDir})
	if err != nil {
		return nil, err
	}
	defer h.Close()
	nat := snat.New(n.StateDir)
	load := func() (snat.Settings, error) { return nat.Load(filepath.Join(n.StateDir, "node.json")) }
	if changed, err = nat.HandOver(load, dry); err != nil {
		return changed, err
	}
	more, err := h.HandOver(ctx, dry)
	return append(changed, more...), err
}

// StateFile is the Books of a vpc-ipamd with the state directory.
type StateFile struct{ Dir string }

// Take opens the file: its lock is what keeps two daemons apart, so nobody runs
// who could put back what is removed. Without a file no daemon has run here.
func (f StateFile) Take() (held []checkpoint.Entry, release func() error, err error) {
	path := filepath.Join(f.Dir, "ipamd.db")
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, func() error { return nil }, nil
	}
	store, err := state.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: stop vpc-ipamd first, which would put back what is removed", err)
	}
	allocations, _, err := store.Load()
	if err != nil {
		return nil, nil, errors.Join(err, store.Close())
	}
	for _, a := range allocations {
		held = append(held, checkpoint.Entry{
			Attachment: a.Attachment, Addr: a.Addr, Namespace: a.Pod.Namespace, Name: a.Pod.Name, Since: a.Since,
		})
	}
	return held, store.Close, nil
}
