package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/vpcchain/vpcchain/daemon/internal/branch"
	"github.com/vpcchain/vpcchain/daemon/internal/engine"
	"github.com/vpcchain/vpcchain/daemon/internal/pool"
)

// node shows the engine's figures and its neighbours'.
type node struct {
	s        Sources
	families map[string]Family
}

func newNode(s Sources) node {
	n := node{s: s, families: map[string]Family{}}
	for _, f := range Families() {
		n.families[f.Name] = f
	}
	return n
}

// Describe sends nothing: which samples there are depends on the node.
func (node) Describe(chan<- *prometheus.Desc) {}

// Collect reads the engine once.
func (n node) Collect(ch chan<- prometheus.Metric) {
	out := to{sender{ch}, n.families}
	g, status := n.s.Engine.Gauges(), n.s.Engine.Status()
	out.pool(g)
	out.limits(g)
	out.branches(g)
	out.loop(g, status)
	n.neighbours(out, g)
}

// to sends samples by the metric's name.
type to struct {
	sender
	families map[string]Family
}

func (o to) put(name string, v float64, labels ...string) { o.send(o.families[name], v, labels...) }

func (o to) flag(name string, set bool) {
	v := 0.0
	if set {
		v = 1
	}
	o.put(name, v)
}

// at is a moment, unless there was none.
func (o to) at(name string, t time.Time, labels ...string) {
	if !t.IsZero() {
		o.put(name, float64(t.UnixMilli())/1000, labels...)
	}
}

func (o to) pool(g engine.Gauges) {
	for name, state := range map[string]pool.State{
		"free": pool.Free, "used": pool.Used, "cooling": pool.Cooling, "withheld": pool.Withheld, "reserved": pool.Reserved,
	} {
		o.put(addresses, float64(g.Pool.Count(state)), name)
	}
	o.put(addressesTotal, float64(g.Pool.Total()))
	o.put(addressesAssigned, float64(g.Pool.Count(pool.Used)))
	o.put(addressesLost, float64(len(g.Pool.Lost)))
	states, blocks := map[string]int{"ready": 0, "unready": 0, "reserved": 0}, 0
	for _, e := range g.Pool.ENIs {
		switch {
		case e.Reserved:
			states["reserved"]++
		case e.Ready:
			states["ready"]++
		default:
			states["unready"]++
		}
		blocks += len(e.Prefixes)
		o.put(eniAssigned, float64(e.Count(pool.Used)), e.ID)
	}
	for name, v := range states {
		o.put(enis, float64(v), name)
	}
	o.put(enisAllocated, float64(len(g.Pool.ENIs)))
	o.put(prefixes, float64(blocks))
}

func (o to) limits(g engine.Gauges) {
	o.put(addressesWanted, float64(g.Wanted))
	o.put(addressesLimit, float64(g.MaxAddrs))
	o.put(enisLimit, float64(g.MaxENIs))
	o.put(waiters, float64(g.Waiters), "pool")
	o.put(podsExpected, float64(g.Demand))
	for _, subnet := range g.FullSubnets {
		o.put(subnetFull, 1, subnet)
	}
}

func (o to) branches(g engine.Gauges) {
	if g.Branches == nil {
		return
	}
	o.put(waiters, float64(g.Branches.Waiters), "branch")
	o.put(branchesLimit, float64(g.Branches.Limit))
	names := map[branch.State]string{
		branch.InUse: "used", branch.Warm: "warm", branch.Cooling: "cooling", branch.Making: "creating", branch.Going: "deleting", branch.InDoubt: "doubtful",
	}
	count := map[branch.State]int{}
	for _, b := range g.Branches.Branches {
		count[b.State]++
	}
	for state, name := range names {
		o.put(branches, float64(count[state]), name)
	}
}

func (o to) loop(g engine.Gauges, s engine.Status) {
	o.flag(ready, s.State != engine.Unavailable)
	o.flag(degraded, s.State != engine.OK)
	o.put(rounds, float64(g.Rounds))
	o.at(lastRound, g.LastRound)
	o.put(failuresInRow, float64(g.Failures))
	for _, action := range []string{"assign", "create", "unassign", "remove", "trunk"} {
		for result, failed := range map[string]bool{"done": false, "failed": true} {
			o.put(actions, float64(g.Tally.Actions[engine.Ended{Action: action, Failed: failed}]), action, result)
		}
		o.put(actionsRunning, float64(g.Actions[action]), action)
	}
	o.put(orphans, float64(g.Tally.Orphans))
	o.put(noAddress, float64(g.Tally.NoAddress))
}

func (n node) neighbours(o to, g engine.Gauges) {
	for _, object := range []string{"rule", "route", "link", "address", "sysctl", "branch"} {
		o.put(heals, float64(g.Tally.Heals[object]), object)
	}
	if n.s.NATRepairs != nil {
		o.put(heals, float64(n.s.NATRepairs()), "snat")
	}
	if n.s.Rooms != nil {
		for _, r := range n.s.Rooms() {
			o.put(subnetFree, float64(r.Free), r.ID)
			o.at(subnetAsked, r.Asked, r.ID)
		}
	}
	if n.s.Reported != nil {
		o.at(reported, n.s.Reported())
	}
	if n.s.Build != nil {
		version, goversion := n.s.Build()
		o.put(buildInfo, 1, version, goversion)
	}
}
