package picture

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/engine"
	"github.com/vpcchain/vpcchain/daemon/internal/pool"
	"github.com/vpcchain/vpcchain/daemon/internal/recent"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// View is the page as data, with texts that nobody has escaped yet.
type View struct {
	At       time.Time
	Instance string
	Facts    []Fact // about the node
	Status   engine.Status
	Wanted   string   // how many addresses the pool is to have, and why
	Next     []string // what the loop does next
	Hold     string   // why it does not do more
	Waits    []string // who waits, and for what
	Counts   [states]int
	Rows     []Row
	Trunk    *Trunk
	Lost     []Slot
	Pods     []Pod
	MorePods int // beyond those
	Events   []recent.Record
	Asked    Asked
	Refresh  int // seconds; 0 is off
}

// Fact is a name and a value.
type Fact struct{ Name, Value string }

// Row is an ENI.
type Row struct {
	ID     string
	Facts  []Fact
	Note   string // why it is not ready, or not used
	Bad    bool   // it should be ready, and is not
	Counts [states]int
	Groups []Group
	Room   int      // prefixes that EC2 could delegate to it
	Doubts []string // about its addresses
	More   int      // doubts beyond those
}

// Group is a delegated prefix, or up to ten single addresses.
type Group struct {
	Prefix string
	Slots  []Slot
}

// Slot is an address, or room for one.
type Slot struct {
	State State
	Doubt bool // a pod has it, and something is wrong with it
	Title string
}

// Pod is a line of the table of pods.
type Pod struct {
	Name, Container, Addr, ENI string
	Since                      time.Time
	Note                       string
}

// Bounds of the page. Names come from runtimes, which may send anything.
const (
	maxPods   = 1000
	maxName   = 130 // bytes of a name
	maxDoubts = 8   // of an ENI
	tens      = 10
	perGroup  = 16 // addresses of a /28
)

// Of computes the page from the daemon's state.
func Of(v engine.View, b engine.Bearings, events []recent.Record, now time.Time) View {
	out := View{
		At: now, Instance: b.Node.InstanceID, Status: b.Status, Events: events, Facts: factsOf(v, b), Waits: waitsOf(v),
		Wanted: fmt.Sprintf("%d addresses (%s), %d are there or being made", b.Wish.Addresses, b.Wish, b.Wish.Has), Next: v.Plan, Hold: b.Hold,
	}
	if b.Lasts > 0 {
		out.Hold += fmt.Sprintf(" (in %d s at the latest)", int(b.Lasts/time.Second)+1)
	}
	for _, e := range v.Pool.ENIs {
		if v.Branches != nil && e.ID == v.Branches.Trunk.ID {
			continue // it has a row of its own
		}
		r := rowOf(v, b, e, now)
		for st, n := range r.Counts {
			out.Counts[st] += n
		}
		out.Rows = append(out.Rows, r)
	}
	for _, h := range v.Pool.Lost {
		out.Counts[Lost]++
		out.Lost = append(out.Lost, Slot{State: Lost, Title: h.Addr.String() + " lost: " + who(h) + "; delete the pod, so that it gets another address"})
	}
	if v.Branches != nil {
		out.Trunk = trunkOf(*v.Branches, now)
	}
	out.Pods = podsOf(v)
	if n := len(out.Pods) - maxPods; n > 0 {
		out.Pods, out.MorePods = out.Pods[:maxPods], n
	}
	return out
}

func factsOf(v engine.View, b engine.Bearings) []Fact {
	mode := []string{"single addresses"}
	if b.Prefixes {
		mode[0] = "/28 prefixes"
	}
	if b.Custom {
		mode = append(mode, "custom networking")
	}
	if b.PodENI {
		mode = append(mode, "branch ENIs, "+b.Enforcing)
	}
	if b.Cordoned {
		mode = append(mode, "cordoned")
	}
	return []Fact{
		{"type", b.Node.InstanceType},
		{"zone", b.Node.AZ},
		{"address", b.Node.PrimaryIP.String()},
		{"mode", strings.Join(mode, ", ")},
		{"ENIs", fmt.Sprintf("%d of %d", len(v.Pool.ENIs), b.Limits.ENIs)},
		{"VPC", b.Node.VPCID},
	}
}

func waitsOf(v engine.View) []string {
	var out []string
	say := func(n int, one, many string) {
		if n == 1 {
			out = append(out, "1 "+one)
		} else if n > 0 {
			out = append(out, fmt.Sprintf("%d %s", n, many))
		}
	}
	say(v.Waiters, "ADD waits for an address", "ADDs wait for an address")
	if v.Branches != nil {
		say(v.Branches.Waiters, "ADD waits for a branch ENI", "ADDs wait for a branch ENI")
	}
	say(v.Demand, "pod more was sent here and has not asked yet", "pods more were sent here and have not asked yet")
	return out
}

func rowOf(v engine.View, b engine.Bearings, e pool.ENI, now time.Time) Row {
	link := v.Links[e.ID]
	out := Row{ID: e.ID, Note: e.Reason, Bad: !e.Ready && !e.Reserved && !e.Draining}
	role := "secondary ENI"
	if e.IsPrimary() {
		role = "primary ENI"
	}
	out.Facts = []Fact{{role, ""}, {"link", cmp.Or(link.Name, "none yet")}, {"address", e.Primary.String()}, {"subnet", e.SubnetID + " " + e.Subnet.String()}, {"table", table(e)}}
	for _, a := range e.Slots {
		s := Slot{State: stateOf(a, e), Title: titleOf(a, e, now), Doubt: a.Holder != nil && a.Note != ""}
		out.Counts[s.State]++
		if a.Note != "" && len(out.Doubts) < maxDoubts {
			out.Doubts = append(out.Doubts, s.Title)
		} else if a.Note != "" {
			out.More++
		}
		out.Groups = appendSlot(out.Groups, prefixOf(a), s)
	}
	if e.Draining {
		out.Note = strings.TrimPrefix(out.Note+"; ", "; ") + "draining: no new pod goes here, and it goes with its last one"
	}
	room := max(0, b.Limits.Secondary()-len(e.Addresses)-len(e.Prefixes))
	switch {
	case e.Reserved || e.Draining:
	case b.Prefixes:
		out.Room = room
	default:
		for range room {
			out.Counts[Empty]++
			out.Groups = appendSlot(out.Groups, "", Slot{State: Empty, Title: "unassigned: room for an address"})
		}
	}
	return out
}

func table(e pool.ENI) string {
	if e.IsPrimary() {
		return "main"
	}
	return fmt.Sprint(vpcnet.ENITable(e.Card, e.Device))
}

func prefixOf(a pool.Address) string {
	if !a.Prefix.IsValid() {
		return ""
	}
	return a.Prefix.String()
}

// appendSlot puts a slot into the last group, if it belongs and fits there.
func appendSlot(groups []Group, prefix string, s Slot) []Group {
	most := tens
	if prefix != "" {
		most = perGroup
	}
	if n := len(groups); n == 0 || groups[n-1].Prefix != prefix || len(groups[n-1].Slots) == most {
		groups = append(groups, Group{Prefix: prefix, Slots: make([]Slot, 0, most)})
	}
	last := &groups[len(groups)-1]
	last.Slots = append(last.Slots, s)
	return groups
}

func titleOf(a pool.Address, e pool.ENI, now time.Time) string {
	st := stateOf(a, e)
	text := a.Addr.String() + " " + looks()[st].name
	switch {
	case a.Holder != nil:
		text += ": " + who(*a.Holder) + ", for " + age(now, a.Holder.Since)
	case st == Cooling:
		text += ": released " + age(now, a.Freed) + " ago"
	case st == NotReady:
		text += ": " + short(e.Reason)
	}
	if a.Note != "" {
		text += "; " + short(a.Note)
	}
	return text
}

// who holds an address, by the name that an operator knows.
func who(h pool.Allocation) string {
	if h.Pod.Name == "" {
		return short(h.Attachment.String())
	}
	return short(h.Pod.Namespace) + "/" + short(h.Pod.Name)
}

func podsOf(v engine.View) []Pod {
	var out []Pod
	add := func(h pool.Allocation, note string) {
		out = append(out, Pod{Name: who(h), Container: short(h.Attachment.ContainerID), Addr: h.Addr.String(), ENI: h.ENI, Since: h.Since, Note: short(note)})
	}
	for _, e := range v.Pool.ENIs {
		for _, a := range e.Slots {
			if a.Holder != nil {
				add(*a.Holder, a.Note)
			}
		}
	}
	for _, h := range v.Pool.Lost {
		add(h, "its address is on no ENI any more")
	}
	if v.Branches != nil {
		for _, b := range v.Branches.Branches {
			if b.Holder != nil {
				add(b.Allocation(), b.Note)
			}
		}
	}
	slices.SortStableFunc(out, func(a, b Pod) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// short bounds a text of somebody else's.
func short(s string) string {
	if len(s) <= maxName {
		return s
	}
	return s[:maxName] + "…"
}

// age is a time ago in one unit, as a person reads it.
func age(now, then time.Time) string {
	if then.IsZero() {
		return "an unknown time"
	}
	d := max(0, now.Sub(then))
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d d", int(d.Hours()/24))
}
