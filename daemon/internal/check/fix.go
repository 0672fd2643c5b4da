package check

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/hostnet"
	"github.com/vpcchain/vpcchain/pkg/nodefacts"
	"github.com/vpcchain/vpcchain/pkg/sgpp"
	"github.com/vpcchain/vpcchain/pkg/snat"
)

// patience is how long a daemon that answers gets for its repairs: its loop
// looks at the kernel every 30 s, whatever news it had.
const patience = 40 * time.Second

// natObject is the name of what is wrong with the NAT.
func natObject(text string) string {
	f := strings.Fields(text)
	switch {
	case strings.HasPrefix(text, "rule ") && len(f) > 1:
		return "rule " + strings.TrimSuffix(f[1], ":")
	case strings.HasPrefix(text, "nftables "):
		return "nftables table vpc-snat"
	case len(f) > 2 && f[1] == "table":
		return f[0] + " table " + f[2]
	}
	return "outbound NAT"
}

// Await waits until the daemon has repaired what is repairable, and reports what
// is left.
func Await(ctx context.Context, stateDir string, held func() *Held) (Report, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		r, err := Node(stateDir, held)
		if err != nil || !r.repairable() {
			return r, err
		}
		select {
		case <-ctx.Done():
			return r, nil
		case <-time.After(again):
		}
	}
}

func (r Report) repairable() bool {
	for _, d := range r.Differences {
		if d.Repair {
			return true
		}
	}
	return false
}

// Booked are the branches that pods use by the state file; none if it cannot be read.
func Booked(stateDir string) ([]sgpp.Branch, error) {
	list, _, err := promised(stateDir, nil)
	return list, err
}

// Repair makes the node as it was wanted last, and the branches those that are
// booked. The caller holds the lock of the state file, so that no daemon works
// beside it, and has read them before.
func Repair(ctx context.Context, stateDir string, booked []sgpp.Branch) ([]string, error) {
	fixed, err := repairKernel(ctx, stateDir)
	if err != nil {
		return fixed, err
	}
	healed, err := heal(stateDir, booked)
	return append(fixed, healed...), err
}

func heal(stateDir string, booked []sgpp.Branch) ([]string, error) {
	if len(booked) == 0 {
		return nil, nil
	}
	facts, err := nodefacts.Read(filepath.Join(stateDir, "node.json"))
	if err != nil || facts.Trunk == nil {
		return nil, err
	}
	k, err := sgpp.Open(stateDir)
	if err != nil {
		return nil, err
	}
	defer k.Close()
	changed, err := k.Heal(booked, sgpp.Node{TrunkMAC: facts.Trunk.MAC, NodeIP: facts.PrimaryIP})
	if err != nil {
		return changed, fmt.Errorf("repairing branch ENIs: %w", err)
	}
	return changed, nil
}

func repairKernel(ctx context.Context, stateDir string) ([]string, error) {
	var fixed []string
	d, err := wanted(stateDir, nil)
	switch {
	case err == nil:
		h, err := hostnet.New(hostnet.Options{StateDir: stateDir})
		if err != nil {
			return nil, err
		}
		defer h.Close()
		obs, err := h.Sync(ctx, d)
		if fixed = obs.Repaired; err != nil {
			return fixed, err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	k := snat.New(stateDir)
	w, err := k.Wish()
	if err != nil || w.Network == "" {
		return fixed, err
	}
	changed, err := k.Verify(func() (snat.Settings, error) { return k.Load(filepath.Join(stateDir, "node.json")) })
	if fixed = append(fixed, changed...); err != nil {
		return fixed, fmt.Errorf("repairing the outbound NAT: %w", err)
	}
	return fixed, nil
}
