// Package check compares a node with what the project promises of it: links,
// addresses, rules, routes and sysctls (package hostnet), the outbound NAT
// (package snat), branch ENIs (package sgpp), the pods' ends in their network
// namespaces, and what the daemon holds of EC2.
// It changes nothing unless it is asked to repair.
//
// What is wanted is the daemon's last word, in the state directory, so that a
// node without a running daemon is checked as well; while the daemon answers,
// what it holds now is added.
package check

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"path/filepath"
	"slices"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/hostnet"
	"github.com/vpcchain/vpcchain/pkg/nodefacts"
	"github.com/vpcchain/vpcchain/pkg/sgpp"
	"github.com/vpcchain/vpcchain/pkg/snat"
	"github.com/vpcchain/vpcchain/pkg/spool"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// Difference is a promise that is not kept. Its JSON names are stable.
type Difference struct {
	Area   string `json:"area"`   // kernel, nat, branch, pod, ec2
	Object string `json:"object"` // "rule 512", "table 2", "sysctl net/ipv4/ip_forward"
	Text   string `json:"text"`
	Repair bool   `json:"repairable"` // --fix, or the daemon, puts it right
}

func (d Difference) String() string { return d.Object + ": " + d.Text }

// Report is what a look found.
type Report struct {
	Differences []Difference `json:"differences"`
	Notes       []string     `json:"notes,omitempty"` // what could not be compared
	Fixed       []string     `json:"fixed,omitempty"` // what --fix has changed
}

// Held is what the daemon holds; nil where it does not answer.
type Held struct {
	Pods     []Pod
	Lost     []string // addresses that pods hold and that EC2 does not list, with the reason
	Branches []sgpp.Branch
}

// Pod is an address that is not free.
type Pod struct {
	Addr     netip.Addr
	Table    int    // of its ENI; 0: a prefix has the rule
	HostVeth string // empty: nobody has the address, it rests
}

// again is the time between two looks: what is on its way, an ADD or a DEL or a
// repair of the daemon, is no difference.
const again = 700 * time.Millisecond

// Node looks twice and reports what both looks found. held is asked each time.
func Node(stateDir string, held func() *Held) (Report, error) {
	first, err := look(stateDir, held())
	if err != nil || len(first.Differences) == 0 {
		return first, err
	}
	time.Sleep(again)
	second, err := look(stateDir, held())
	second.Differences = slices.DeleteFunc(second.Differences, func(d Difference) bool { return !slices.Contains(first.Differences, d) })
	return second, err
}

func look(stateDir string, held *Held) (Report, error) {
	r := Report{Differences: []Difference{}}
	var errs []error
	for _, part := range []func(string, *Held) error{r.kernel, r.nat, r.branches, r.inside} {
		errs = append(errs, part(stateDir, held))
	}
	if held == nil {
		r.Notes = append(r.Notes, "vpc-ipamd does not answer: compared with what it wanted last; EC2 is not compared")
		return r, errors.Join(errs...)
	}
	for _, l := range held.Lost {
		r.Differences = append(r.Differences, Difference{Area: "ec2", Object: "pod address", Text: l})
	}
	return r, errors.Join(errs...)
}

func (r *Report) kernel(stateDir string, held *Held) error {
	d, err := wanted(stateDir, held)
	if errors.Is(err, fs.ErrNotExist) {
		r.Notes = append(r.Notes, "vpc-ipamd has not run since the node started: what it wants of rules, routes and links is not known")
		return nil
	}
	if err != nil {
		return err
	}
	h, err := hostnet.New(hostnet.Options{})
	if err != nil {
		return err
	}
	defer h.Close()
	found, err := h.Check(d)
	for _, f := range found {
		r.Differences = append(r.Differences, Difference{"kernel", f.Object, f.Text, f.Repair})
	}
	return err
}

// wanted is the daemon's last word, with the pods that came and without those
// that went since.
func wanted(stateDir string, held *Held) (hostnet.Desired, error) {
	d, err := hostnet.Wanted(stateDir)
	if err != nil {
		return d, err
	}
	if held == nil {
		return withoutReleased(d, stateDir)
	}
	d.Pods = slices.DeleteFunc(d.Pods, func(p hostnet.Pod) bool {
		return !slices.ContainsFunc(held.Pods, func(h Pod) bool { return h.Addr == p.Addr && h.HostVeth != "" })
	})
	for _, h := range held.Pods {
		if h.Table != 0 {
			d.From = append(d.From, hostnet.From{Prefix: vpcnet.Host(h.Addr), Table: h.Table})
		}
		if h.HostVeth != "" && !slices.ContainsFunc(d.Pods, func(p hostnet.Pod) bool { return p.Addr == h.Addr }) {
			d.Pods = append(d.Pods, hostnet.Pod{Addr: h.Addr, HostVeth: h.HostVeth})
		}
	}
	return d, nil
}

// withoutReleased leaves out the pods whose DEL came while nobody answered: the
// link is gone, and the spool has the release.
func withoutReleased(d hostnet.Desired, stateDir string) (hostnet.Desired, error) {
	gone, err := spool.List(filepath.Join(stateDir, "spool"))
	if err != nil || len(gone) == 0 {
		return d, err
	}
	h, err := hostnet.New(hostnet.Options{})
	if err != nil {
		return d, err
	}
	defer h.Close()
	d.Pods = slices.DeleteFunc(d.Pods, func(p hostnet.Pod) bool { return !h.Has(p.HostVeth) })
	return d, nil
}

func (r *Report) nat(stateDir string, _ *Held) error {
	k := snat.New(stateDir)
	w, err := k.Wish()
	if err != nil {
		return fmt.Errorf("reading what vpc-snat asked for: %w", err)
	}
	if w.Network == "" {
		r.Notes = append(r.Notes, "vpc-snat has added no pod: no outbound NAT is promised")
		return nil
	}
	s, err := k.Load(filepath.Join(stateDir, "node.json"))
	if err != nil {
		return err
	}
	found, err := k.Differences(s)
	for _, f := range found {
		r.Differences = append(r.Differences, Difference{"nat", natObject(f), f, true})
	}
	return err
}

func (r *Report) branches(stateDir string, held *Held) error {
	list, note, err := promised(stateDir, held)
	if note != "" {
		r.Notes = append(r.Notes, note)
	}
	if err != nil || len(list) == 0 {
		return err
	}
	facts, err := nodefacts.Read(filepath.Join(stateDir, "node.json"))
	if err != nil {
		return err
	}
	if facts.Trunk == nil {
		return errors.New("the node facts have no trunk ENI, though pods have branches of one: restart vpc-ipamd")
	}
	k, err := sgpp.Open(stateDir)
	if err != nil {
		return err
	}
	defer k.Close()
	for _, b := range list {
		if err := k.Check(b, sgpp.Node{TrunkMAC: facts.Trunk.MAC, NodeIP: facts.PrimaryIP}); err != nil {
			r.Differences = append(r.Differences, Difference{"branch", "branch " + b.Link() + " of " + b.Addr.String(), err.Error(), true})
		}
	}
	return nil
}
