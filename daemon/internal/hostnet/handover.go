package hostnet

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// protocolBoot is RTPROT_BOOT, which the stock CNI's routes have.
const protocolBoot = 3

// HandOver turns what the project keeps into what the stock AWS VPC CNI would have
// made, with the pods running: each pod's route in table main and its rules 512
// and 1536, the ENIs' routes and rules without this project's protocol. All of it
// is added before anything of ours goes. Links, addresses and sysctls stay; the
// aliases of the pods' links go last, since they tell whose the pods are.
func (h *Host) HandOver(ctx context.Context, dry bool) (changed []string, err error) {
	h.sync.Lock()
	defer h.sync.Unlock()
	err = inNamespace(h.ns, func() error {
		k, err := observe(h.nl, "")
		if err != nil {
			return err
		}
		steps, err := planHandOver(k)
		if err != nil {
			return err
		}
		if dry {
			for _, s := range steps {
				changed = append(changed, s.String())
			}
			return nil
		}
		obs := Observed{ENIs: map[string]Link{}}
		err = h.apply(ctx, steps, nil, &obs)
		changed = obs.Repaired
		if err == nil {
			err = forgetSysctls(h.stateDir)
		}
		return err
	})
	return changed, err
}

// planHandOver refuses a node with branch ENIs: their pods' state is of another
// form there.
func planHandOver(k kernel) ([]step, error) {
	var p planned
	var pods []link
	for _, l := range k.links {
		if _, ours := vpcnet.ParseAlias(l.Alias); !ours {
			continue
		}
		if l.Kind != "veth" {
			return nil, fmt.Errorf("link %s is of a pod with security groups of its own, which the stock CNI cannot take over: delete such pods first", l.Name)
		}
		pods = append(pods, l)
	}
	for _, r := range k.rules {
		if r.ours() && isBranchTable(r.Table) {
			return nil, errors.New("rules of branch ENIs are there: delete pods with security groups of their own first")
		}
	}
	p.stockRoutes(k)
	p.stockRules(k)
	for _, s := range planRemove(k, nil, false) {
		// The ENIs' routes were replaced in place, and their links stay.
		if s.verb == delRule || s.verb == delRoute && s.route.Table == vpcnet.TablePods {
			p.add(s)
		}
	}
	for _, l := range pods {
		p.add(step{verb: delAlias, link: l})
	}
	return p.steps, nil
}

// stockRoutes are the pods' in table main, and those of the ENIs' tables.
func (p *planned) stockRoutes(k kernel) {
	for _, r := range k.routes {
		if r.Protocol != vpcnet.RouteProtocol {
			continue
		}
		switch {
		case isENITable(r.Table):
			r.Protocol = protocolBoot
			p.add(step{verb: putRoute, route: r})
		case r.Table == vpcnet.TablePods:
			r.Table, r.Protocol, r.Src = vpcnet.TableMain, protocolBoot, netip.Addr{}
			p.add(step{verb: putRoute, route: r})
			to := rule{Priority: vpcnet.RulePods, Dst: r.Dst, Table: vpcnet.TableMain, Plain: true}
			p.add(step{verb: addRule, rule: to})
			if table, ok := k.wayOut(r.Dst.Addr()); ok {
				p.add(step{verb: addRule, rule: rule{Priority: vpcnet.RuleFrom, Src: r.Dst, Table: table, Plain: true}})
			}
		}
	}
}

// wayOut is the ENI's table that a rule 1536 of ours sends the address to.
func (k kernel) wayOut(a netip.Addr) (table int, ok bool) {
	for _, r := range k.rules {
		if r.ours() && r.Priority == vpcnet.RuleFrom && r.Src.Contains(a) {
			return r.Table, true
		}
	}
	return 0, false
}

// stockRules are those that differ from ours in the protocol alone.
func (p *planned) stockRules(k kernel) {
	for _, r := range k.rules {
		if r.ours() && (r.Priority == vpcnet.RuleExternal || r.Priority == vpcnet.RuleENI) {
			r.Protocol = 0
			p.add(step{verb: addRule, rule: r})
		}
	}
}
