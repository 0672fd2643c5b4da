package explain

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Question names the first packet of a connection.
type Question struct {
	Src  netip.Addr `json:"src"`
	Dst  netip.Addr `json:"dst"`
	Port uint16     `json:"port,omitempty"`
}

// Answer is the way of the packet. Its JSON names are stable.
type Answer struct {
	Question
	From    string   `json:"from"` // pod, node, outside
	Steps   []Step   `json:"steps"`
	Verdict Verdict  `json:"verdict"`
	Doubts  []string `json:"doubts,omitempty"` // what could not be read or played through
}

// Step is one decision with the object that made it.
type Step struct {
	Stage  string `json:"stage"`  // from, forward, mark, rule, route, filter, source, eni, groups
	Object string `json:"object"` // as its program lists it
	Effect string `json:"effect"`

	Priority int        `json:"priority,omitempty"` // of a rule
	Table    int        `json:"table,omitempty"`    // of a rule or route
	Link     string     `json:"link,omitempty"`
	Mark     uint32     `json:"mark,omitempty"`
	Source   netip.Addr `json:"source,omitzero"` // that it gives the packet
	ENI      string     `json:"eni,omitempty"`
}

// What becomes of a packet.
const (
	Leaves  = "leaves"  // by an ENI
	ToPod   = "to pod"  // of this node
	ToNode  = "to node" // an address of the node itself
	Dropped = "dropped"
)

// Verdict is what becomes of the packet.
type Verdict struct {
	Outcome string     `json:"outcome"`
	Link    string     `json:"link,omitempty"` // that it goes out by
	ENI     string     `json:"eni,omitempty"`  // of the link; empty while the daemon does not answer
	Gateway netip.Addr `json:"gateway,omitzero"`
	Source  netip.Addr `json:"source"` // as the packet has it in the end
	SNAT    bool       `json:"snat"`   // the source is another than in the beginning
	Mark    uint32     `json:"mark,omitempty"`
	Refused string     `json:"refused,omitempty"` // why EC2 does not carry it
	Astray  bool       `json:"astray,omitempty"`  // it leaves, though its destination is a pod of this node
	Why     string     `json:"why"`
}

// way is a packet under way.
type way struct {
	s      Snapshot
	a      Answer
	in     Link
	src    netip.Addr
	dst    netip.Addr
	out    string
	mark   uint32
	conn   uint32
	keeper string // what kept the source
}

// Explain plays the packet through.
func Explain(s Snapshot, q Question) Answer {
	w := &way{s: s, src: q.Src, dst: q.Dst, a: Answer{Question: q, Steps: []Step{}, Doubts: slices.Clone(s.Unread)}}
	w.begin()
	if w.a.Verdict.Outcome == "" && w.a.From != "node" {
		w.hook("prerouting")
	}
	if w.a.Verdict.Outcome == "" {
		w.forward()
	}
	w.a.Verdict.Source, w.a.Verdict.Mark = w.src, w.mark
	w.a.Verdict.SNAT = w.src != q.Src
	if w.a.Verdict.Why == "" {
		w.a.Verdict.Why = w.why()
	}
	return w.a
}

func (w *way) step(s Step) { w.a.Steps = append(w.a.Steps, s) }

func (w *way) drop(why string) { w.a.Verdict.Outcome, w.a.Verdict.Why = Dropped, why }

// begin finds where the packet comes from.
func (w *way) begin() {
	if w.s.isLocal(w.src) {
		w.a.From, w.in = "node", Link{Name: "lo"}
		w.step(Step{Stage: "from", Object: "address " + w.src.String(), Effect: "the node sends it"})
		return
	}
	if l, ok := w.s.podLink(w.src); ok {
		w.a.From, w.in = "pod", l
		w.step(Step{Stage: "from", Object: "link " + l.Name + " alias " + l.Alias, Effect: "the pod's packets come in here", Link: l.Name})
		if !l.Up {
			w.drop("the pod's link " + l.Name + " is down: it is being made or removed, or somebody took it down")
		}
		return
	}
	w.a.From = "outside"
	in, ok := w.s.entrance(w.dst)
	if !ok {
		w.drop(fmt.Sprintf("%s is neither a pod nor an address of this node, and by which ENI it would come in is not known", w.src))
		return
	}
	w.in = in
	w.step(Step{Stage: "from", Object: "link " + in.Name, Effect: "it comes from outside by the ENI of its destination", Link: in.Name})
}

// forward decides where the packet goes.
func (w *way) forward() {
	f := w.s.lookup(flow{src: w.src, dst: w.dst, in: w.in.Name, mark: w.mark})
	w.a.Doubts = append(w.a.Doubts, f.doubt...)
	if f.ok {
		w.step(Step{Stage: "rule", Object: f.rule.String(), Effect: "decides", Priority: f.rule.Priority, Table: f.rule.Table})
	}
	if f.ok && f.rule.Drop == "" {
		w.step(Step{Stage: "route", Object: f.route.String(), Effect: "is the way", Table: f.route.Table, Link: f.route.Dev})
	}
	if why := f.dropped(); why != "" {
		w.drop("routing refuses it: " + why + "; `vpcctl check` says whether a rule or route of the node is missing")
		return
	}
	if w.a.From != "node" && !w.filter(f) {
		return
	}
	if f.route.Kind != unicast {
		w.a.Verdict.Outcome = ToNode
		return
	}
	w.out = f.route.Dev
	w.a.Verdict.Link, w.a.Verdict.Gateway = f.route.Dev, f.route.Gw
	w.hook("postrouting")
	w.deliver()
}

// filter are the sysctls that refuse packets which come in by a link.
func (w *way) filter(f found) bool {
	out := "lo"
	if f.route.Kind == unicast {
		out = f.route.Dev
	}
	if back, ok := w.s.reverse(w.src, w.dst, w.in, out); !ok {
		how := "leads nowhere"
		if back.ok {
			how = "is " + back.route.String()
		}
		w.step(Step{Stage: "filter", Object: "sysctl net/ipv4/conf/" + w.in.Name + "/rp_filter", Effect: "drops it", Link: w.in.Name})
		w.drop(fmt.Sprintf("rp_filter %d of %s drops it: the way back to %s %s", w.in.RPFilter, w.in.Name, w.src, how))
		return false
	}
	if f.route.Kind == unicast && !w.in.Forwarding {
		w.step(Step{Stage: "filter", Object: "sysctl net/ipv4/conf/" + w.in.Name + "/forwarding", Effect: "0: drops it", Link: w.in.Name})
		w.drop("the node does not forward: net.ipv4.ip_forward must be 1")
		return false
	}
	return true
}

// deliver says who takes the packet from the link.
func (w *way) deliver() {
	out, _ := w.s.link(func(l Link) bool { return l.Name == w.out })
	l, pod := w.s.podLink(w.dst)
	if pod && l.Name == w.out {
		w.a.Verdict.Outcome = ToPod
		return
	}
	w.a.Verdict.Outcome = Leaves
	for _, b := range w.s.Branches {
		if b.Link == w.out {
			w.branch(b)
			return
		}
	}
	// A branch's pod in strict mode is to be reached through its trunk alone.
	w.a.Verdict.Astray = pod && !slices.ContainsFunc(w.s.Rules, func(r Rule) bool { return r.In == l.Name })
	e, ok := w.s.eniOf(out)
	if !ok {
		if out.MAC == w.s.Primary && out.MAC != "" {
			w.step(Step{Stage: "eni", Object: "link " + out.Name + " " + out.MAC, Effect: "is the primary ENI", Link: out.Name})
		}
		return
	}
	w.a.Verdict.ENI = e.ID
	effect := "carries it"
	if !slices.Contains(e.Addresses, w.src) {
		w.a.Verdict.Refused = fmt.Sprintf("%s does not have the address %s: its source check drops the packet", e.ID, w.src)
		effect = "does not have " + w.src.String() + ": its source check drops the packet"
	}
	w.step(Step{Stage: "eni", Object: fmt.Sprintf("%s, device %d, %s", e.ID, e.Device, out.Name), Effect: effect, ENI: e.ID, Link: out.Name})
}

func (w *way) branch(b Branch) {
	w.a.Verdict.ENI = b.ID
	groups := "those that the VPC resource controller gave it"
	if len(b.Groups) > 0 {
		groups = strings.Join(b.Groups, ", ")
	}
	w.step(Step{Stage: "eni", Object: b.ID + ", " + b.Link, Effect: "carries it, by the trunk", ENI: b.ID, Link: b.Link})
	w.step(Step{Stage: "groups", Object: groups, Effect: "decide in EC2 whether it passes", ENI: b.ID})
}
