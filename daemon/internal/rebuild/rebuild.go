package rebuild

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/checkpoint"
	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/daemon/internal/hostnet"
	"github.com/vpcchain/vpcchain/daemon/internal/pool"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// Kernel shows the traces of pods and marks those of the stock CNI.
type Kernel interface {
	Witnesses(ctx context.Context, netnsDirs ...string) ([]hostnet.Witness, error)
	SetAlias(link string, a vpcnet.Attachment) error
}

// Books is the state file. Until Seed was called once it is new.
type Books interface {
	Seeded() (bool, error)
	Seed(held []pool.Allocation, freed map[netip.Addr]time.Time) error
}

// NetnsDirs is where runtimes keep the namespaces of pods: containerd, CRI-O and
// `ip netns`, and Docker.
func NetnsDirs() []string { return []string{"/run/netns", "/run/docker/netns"} }

// Used tells whether a daemon or its plugins have run on the state directory
// since the node booted: they leave the node facts and the spool.
func Used(stateDir string) bool {
	for _, name := range []string{"node.json", "spool"} {
		if _, err := os.Stat(filepath.Join(stateDir, name)); err == nil {
			return true
		}
	}
	return false
}

// Rebuilder carries plans out.
type Rebuilder struct {
	Kernel     Kernel
	Books      Books
	Checkpoint string // path of the stock daemon's; "" for none
	Network    string // the network of its entries; "": as they say
	VethPrefix string
	Used       bool // see Input
	NetnsDirs  []string
	Log        *slog.Logger
}

// Recover says what the books lack, and writes it to them in one transaction.
// Known is what they hold. The checkpoint is read only for new books, so that
// it is taken once: what the stock daemon knew is old from then on.
func (r *Rebuilder) Recover(ctx context.Context, enis []eni.ENI, known []pool.Allocation) (Plan, error) {
	seeded, err := r.Books.Seeded()
	if err != nil {
		return Plan{}, err
	}
	in := Input{ENIs: enis, Known: known, Fresh: !seeded, Used: r.Used, VethPrefix: r.VethPrefix, Now: time.Now()}
	if in.Seen, err = r.Kernel.Witnesses(ctx, r.NetnsDirs...); err != nil {
		return Plan{}, fmt.Errorf("looking for pods in the kernel: %w", err)
	}
	if in.Fresh && r.Checkpoint != "" {
		if in.Stock, err = checkpoint.Read(r.Checkpoint, r.Network); err != nil {
			return Plan{}, fmt.Errorf("%w: its pods would lose their addresses to others; if none of them runs any more, remove the file", err)
		}
	}
	p := Decide(in)
	r.report(p, in)
	if !in.Fresh {
		return p, nil
	}
	// Aliases first: should the daemon die here, the next one finds the pods by them.
	for _, a := range p.Aliases {
		if err := r.Kernel.SetAlias(a.Link, a.Attachment); err != nil {
			r.Log.Warn("marking a veth of the stock CNI", "error", err)
		}
	}
	freed := map[netip.Addr]time.Time{}
	for _, a := range p.Rested {
		freed[a] = in.Now
	}
	if err := r.Books.Seed(p.Held, freed); err != nil {
		return Plan{}, err
	}
	return p, nil
}

func (r *Rebuilder) report(p Plan, in Input) {
	for _, h := range p.Held {
		r.Log.Info("allocation found again", "address", h.Addr, "attachment", h.Attachment.String(), "eni", h.ENI)
	}
	for _, d := range p.Dropped {
		r.Log.Warn("an entry of the stock daemon's checkpoint is not taken", "entry", d)
	}
	for a, why := range p.Withheld {
		r.Log.Warn("an address is withheld", "address", a, "reason", why)
	}
	if in.Fresh && len(p.Held)+len(p.Withheld) > 0 {
		r.Log.Warn("the books were empty and have been rebuilt", "held", len(p.Held), "from_checkpoint", len(in.Stock)-len(p.Dropped), "withheld", len(p.Withheld))
	}
}

// Seen are the addresses that pods have in the kernel now.
func (r *Rebuilder) Seen(ctx context.Context) (map[netip.Addr]bool, error) {
	list, err := r.Kernel.Witnesses(ctx, r.NetnsDirs...)
	if err != nil {
		return nil, err
	}
	out := map[netip.Addr]bool{}
	for _, w := range list {
		if w.Addr.IsValid() && !w.Rule {
			out[w.Addr] = true
		}
	}
	return out, nil
}

// Witnesses are all traces of pods in the kernel.
func (r *Rebuilder) Witnesses(ctx context.Context) ([]hostnet.Witness, error) {
	return r.Kernel.Witnesses(ctx, r.NetnsDirs...)
}
