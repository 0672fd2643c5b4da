package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/vpcchain/vpcchain/pkg/ipamapi"
)

// statusView is the JSON of `vpcctl status`; its names are stable. What the source
// does not tell is null.
type statusView struct {
	State  string      `json:"state"` // serving, limited, unavailable, unreachable
	Reason string      `json:"reason"`
	Source string      `json:"source"` // daemon, kernel
	Node   *nodeView   `json:"node"`
	Pool   *poolView   `json:"pool"`
	ENIs   []eniCounts `json:"enis"`
	Trunk  *trunkBrief `json:"trunk"` // null, too, where the daemon gives no branch ENIs
	SNAT   *snatView   `json:"snat"`
	Pods   *podsView   `json:"pods"` // where vpc-ipamd does not answer
	Notes  []string    `json:"notes,omitempty"`
}

// nodeView is who the node is, how it is set, and what its type may have.
type nodeView struct {
	Instance         string       `json:"instance"`
	Type             string       `json:"type"`
	Zone             string       `json:"zone"`
	VPC              string       `json:"vpc"`
	Primary          string       `json:"primary"` // address
	Prefixes         bool         `json:"prefixes"`
	CustomNetworking bool         `json:"customNetworking"`
	PodENI           bool         `json:"podENI"`
	EnforcingMode    string       `json:"enforcingMode,omitempty"`
	Cordoned         bool         `json:"cordoned"`
	MaxENIs          int          `json:"enis"` // of the type
	IPv4PerENI       int          `json:"ipv4PerENI"`
	Targets          *targetsView `json:"targets"`
}

// targetsView are the settings under their names; of a maximum, 0 is none.
type targetsView struct {
	WarmENI    int `json:"WARM_ENI_TARGET"`
	WarmPrefix int `json:"WARM_PREFIX_TARGET"`
	WarmIP     int `json:"WARM_IP_TARGET"`
	MinimumIP  int `json:"MINIMUM_IP_TARGET"`
	MaxENI     int `json:"MAX_ENI"`
	MaxPods    int `json:"MAX_PODS"`
}

// poolView is the pool beside what it is to have.
type poolView struct {
	Addresses   int      `json:"addresses"`
	Used        int      `json:"used"`
	Cooling     int      `json:"cooling"`
	Available   int      `json:"available"`
	Lost        int      `json:"lost"`
	Wanted      int      `json:"wanted"`
	Has         int      `json:"has"`     // with what is being made
	Setting     string   `json:"setting"` // that decides
	Why         string   `json:"why"`
	Waiters     int      `json:"waiters"`
	Demand      int      `json:"demand"`
	Plan        []string `json:"plan"`
	Hold        string   `json:"hold"`
	HoldSeconds float64  `json:"holdSeconds"`
}

// eniCounts is an ENI without its addresses.
type eniCounts struct {
	ID        string     `json:"id"`
	Link      string     `json:"link"`
	Primary   string     `json:"primary"`
	SubnetID  string     `json:"subnetID"`
	Prefixes  int        `json:"prefixes"`
	Addresses int        `json:"addresses"`
	Used      int        `json:"used"`
	Cooling   int        `json:"cooling"`
	Free      int        `json:"free"`
	Ready     bool       `json:"ready"`
	Note      string     `json:"note"`
	Drain     *drainView `json:"drain"`
}

type trunkBrief struct {
	ID      string `json:"id"`
	Ready   bool   `json:"ready"`
	Limit   int    `json:"limit"`
	ENIs    int    `json:"branchENIs"`
	InUse   int    `json:"inUse"`
	Waiters int    `json:"waiters"`
	Note    string `json:"note"`
}

// take translates what the daemon has said; each may be nil.
func (v *statusView) take(node *ipamapi.NodeReply, pool *ipamapi.PoolReply, snat *ipamapi.SnatReply) {
	if node != nil {
		m, l, t := node.GetMode(), node.GetLimits(), node.GetTargets()
		v.Node = &nodeView{
			Instance: node.GetInstance(), Type: node.GetType(), Zone: node.GetZone(), VPC: node.GetVpc(), Primary: node.GetPrimary(),
			Prefixes: m.GetPrefixes(), CustomNetworking: m.GetCustom(), PodENI: m.GetPodEni(), EnforcingMode: m.GetEnforcing(), Cordoned: m.GetCordoned(),
			MaxENIs: int(l.GetEnis()), IPv4PerENI: int(l.GetIpv4PerEni()), Targets: &targetsView{
				int(t.GetWarmEni()), int(t.GetWarmPrefix()), int(t.GetWarmIp()), int(t.GetMinimumIp()), int(t.GetMaxEni()), int(t.GetMaxPods()),
			},
		}
	}
	if pool != nil {
		all, g := viewOf(pool), node.GetGoal()
		v.Pool = &poolView{
			Addresses: all.Addresses, Used: all.Used, Cooling: all.Cooling, Available: all.Available, Lost: len(all.Lost),
			Wanted: int(g.GetWanted()), Has: int(g.GetHas()), Setting: g.GetSetting(), Why: g.GetText(), Waiters: all.Waiters, Demand: all.Demand,
			Plan: append([]string{}, all.Plan...), Hold: node.GetHold(), HoldSeconds: float64(node.GetHoldMs()) / 1000,
		}
		for _, e := range all.ENIs {
			n := e.count()
			v.ENIs = append(v.ENIs, eniCounts{
				e.ID, e.Link, e.Primary, e.SubnetID, len(e.Prefixes), len(e.Addresses), n["used"], n["cooling"], n["free"], e.Ready, e.Note, e.Drain,
			})
		}
		if t := all.Trunk; t != nil {
			v.Trunk = &trunkBrief{t.ID, t.Ready, t.Limit, len(t.Branches), t.inUse(), t.Waiters, t.Note}
		}
	}
	if snat != nil {
		v.SNAT = snatOf(snat)
	}
}

// print writes the first line, and a table of what is known.
func (v statusView) print(out io.Writer) error {
	first := v.State
	if v.Reason != "" {
		first += ": " + v.Reason
	}
	fmt.Fprintln(out, first)
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(name, format string, args ...any) { fmt.Fprintf(t, name+"\t"+format+"\n", args...) }
	if n := v.Node; n != nil {
		line("node", "%s", n)
		if n.Targets != nil {
			line("targets", "%s", n.Targets)
		}
	}
	if p := v.Pool; p != nil {
		line("pool", "%d addresses: %d used, %d cooling, %d available%s", p.Addresses, p.Used, p.Cooling, p.Available, some(", %d lost", p.Lost))
		if p.Why != "" {
			line("wanted", "%d: %s", p.Wanted, p.Why)
		}
		if p.Waiters+p.Demand > 0 {
			line("waiting", "%d ADDs, %d pods on their way", p.Waiters, p.Demand)
		}
	}
	for _, e := range v.ENIs {
		line("eni", "%s", e)
	}
	if b := v.Trunk; b != nil {
		line("trunk", "%s: %d of %d branch ENIs, %d in use%s%s", cmp.Or(b.ID, "none"), b.ENIs, b.Limit, b.InUse, some(", %d pods wait", b.Waiters), because(b.Note))
	}
	if s := v.SNAT; s != nil {
		line("snat", "%s", s)
	}
	if p := v.Pool; p != nil {
		v.next(line)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, n := range v.Notes {
		fmt.Fprintln(out, "note:", n)
	}
	if v.Pods == nil {
		return nil
	}
	return v.Pods.print(out, time.Now())
}

// next is what the loop does, and why not more.
func (v statusView) next(line func(name, format string, args ...any)) {
	p := v.Pool
	for _, step := range p.Plan {
		line("next", "%s", step)
	}
	switch {
	case p.Hold != "" && p.HoldSeconds > 0:
		line("next", "%s (in %.0f s at the latest)", p.Hold, p.HoldSeconds)
	case p.Hold != "":
		line("next", "%s", p.Hold)
	case len(p.Plan) == 0:
		line("next", "nothing: the pool has what it is to have")
	}
}

func some(format string, n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(format, n)
}

func because(why string) string {
	if why == "" {
		return ""
	}
	return ": " + why
}

func (n nodeView) String() string {
	out := n.Instance
	for _, s := range []string{n.Type, n.Zone, n.Primary} {
		if s != "" {
			out += " " + s
		}
	}
	if n.Targets == nil {
		return out
	}
	mode := "single addresses"
	if n.Prefixes {
		mode = "prefixes"
	}
	out += fmt.Sprintf("; %s on up to %d ENIs", mode, n.MaxENIs)
	for _, m := range []struct {
		is   bool
		what string
	}{{n.CustomNetworking, "custom networking"}, {n.PodENI, "branch ENIs, " + n.EnforcingMode}, {n.Cordoned, "cordoned"}} {
		if m.is {
			out += ", " + m.what
		}
	}
	return out
}

// String leaves out what is not set.
func (t targetsView) String() string {
	var out []string
	for _, x := range []struct {
		name string
		n    int
	}{
		{"WARM_ENI_TARGET", t.WarmENI},
		{"WARM_PREFIX_TARGET", t.WarmPrefix},
		{"WARM_IP_TARGET", t.WarmIP},
		{"MINIMUM_IP_TARGET", t.MinimumIP},
		{"MAX_ENI", t.MaxENI},
		{"MAX_PODS", t.MaxPods},
	} {
		if x.n != 0 {
			out = append(out, fmt.Sprintf("%s=%d", x.name, x.n))
		}
	}
	return cmp.Or(strings.Join(out, " "), "none set")
}

func (e eniCounts) String() string {
	out := fmt.Sprintf("%s %s %s: %d used, %d cooling, %d free", e.ID, cmp.Or(e.Link, "(no link)"), e.Primary, e.Used, e.Cooling, e.Free)
	if e.Prefixes > 0 {
		out += fmt.Sprintf(", %d prefixes", e.Prefixes)
	}
	if !e.Ready && e.Note == "" {
		out += ", not ready"
	}
	if e.Drain != nil {
		out += ", " + e.Drain.String()
	}
	return out + because(e.Note)
}
