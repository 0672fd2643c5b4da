package hostnet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// Removal says how much Remove takes back.
type Removal struct {
	Pods bool // the pods' links, too
	Dry  bool // say it, change nothing
}

// Remove takes what the project has made of this package's objects off the node:
// its rules and routes, the addresses of secondary ENIs, whose links go down, and
// the sysctls that still have the value it wrote. It goes on after a failed step
// and says what it changed. No Sync may run beside it, in any process. The MTU of
// links stays: what it was before is not known.
func (h *Host) Remove(ctx context.Context, o Removal) (removed []string, err error) {
	h.sync.Lock()
	defer h.sync.Unlock()
	err = inNamespace(h.ns, func() error {
		k, err := observe(h.nl, "")
		if err != nil {
			return err
		}
		was, err := rememberedSysctls(h.stateDir)
		if err != nil {
			return err
		}
		if err := k.addSysctls(was); err != nil {
			return err
		}
		steps := planRemove(k, was, o.Pods)
		if o.Dry {
			for _, s := range steps {
				removed = append(removed, s.String())
			}
			return nil
		}
		obs := Observed{ENIs: map[string]Link{}}
		err = h.apply(ctx, steps, nil, &obs)
		removed = obs.Repaired
		if err == nil {
			err = forgetSysctls(h.stateDir)
		}
		return err
	})
	return removed, err
}

// planRemove lists the steps back. Rules come before routes, so that no packet is
// sent to a table whose routes are gone.
func planRemove(k kernel, was map[string]string, pods bool) []step {
	var p planned
	if pods {
		p.unwire(k)
	}
	for _, r := range k.rules {
		// The rules of branch ENIs and of the local table are those of package sgpp.
		if r.ours() && ourPriority(r.Priority) && !isBranchTable(r.Table) {
			p.add(step{verb: delRule, rule: r})
		}
	}
	for _, r := range k.routes {
		if r.Protocol == vpcnet.RouteProtocol && !isBranchTable(r.Table) {
			p.add(step{verb: delRoute, route: r})
		}
	}
	p.unaddress(k)
	for _, path := range slices.Sorted(maps.Keys(was)) {
		if now := k.sysctls[path]; now != was[path] && now == written(path) {
			p.add(step{verb: setSysctl, sysctl: path, was: now, value: was[path]})
		}
	}
	return p.steps
}

// unwire removes the links of pods.
func (p *planned) unwire(k kernel) {
	for _, l := range k.links {
		if _, ours := vpcnet.ParseAlias(l.Alias); ours && l.Kind == "veth" {
			p.add(step{verb: delLink, link: l})
		}
	}
}

// unaddress leaves the links of secondary ENIs as EC2 attaches them.
func (p *planned) unaddress(k kernel) {
	for _, l := range k.secondaries() {
		for _, a := range k.addrs {
			if a.Link == l.Index && a.Global {
				p.add(step{verb: delAddr, link: l, addr: a.Prefix})
			}
		}
		if l.Up {
			p.add(step{verb: setDown, link: l})
		}
	}
}

// secondaries are the links of secondary ENIs that this project has set up: those
// that its routes in an ENI's table lead by.
func (k kernel) secondaries() []link {
	var out []link
	for _, r := range k.routes {
		if r.Protocol != vpcnet.RouteProtocol || !isENITable(r.Table) {
			continue
		}
		for _, l := range k.links {
			if l.Index == r.Link && !slices.Contains(out, l) {
				out = append(out, l)
			}
		}
	}
	return out
}

// written is the value that this package gives the sysctl.
func written(path string) string {
	if path == ipForward {
		return "1"
	}
	return "2" // rp_filter
}

// rememberedSysctls are the values of before; none without the file.
func rememberedSysctls(dir string) (map[string]string, error) {
	if dir == "" {
		return nil, nil
	}
	raw, err := os.ReadFile(filepath.Join(dir, SysctlFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the values of sysctls of before: %w", err)
	}
	var was map[string]string
	if err := json.Unmarshal(raw, &was); err != nil {
		return nil, nil //nolint:nilerr // a damaged file has lost them: nothing is put back
	}
	return was, nil
}

// addSysctls reads those that are remembered.
func (k *kernel) addSysctls(was map[string]string) error {
	for path := range was {
		if path != ipForward && !isRPFilter(path) {
			delete(was, path) // not one that this package writes
			continue
		}
		value, err := readSysctlAt(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // its link is gone
		}
		if err != nil {
			return fmt.Errorf("reading sysctl: %w", err)
		}
		k.sysctls[path] = value
	}
	return nil
}

func forgetSysctls(dir string) error {
	if dir == "" {
		return nil
	}
	if err := os.Remove(filepath.Join(dir, SysctlFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forgetting the values of sysctls of before: %w", err)
	}
	return nil
}
