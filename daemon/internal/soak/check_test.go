package soak

import (
	"net/netip"
	"slices"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vpcchain/vpcchain/daemon/internal/engine"
	"github.com/vpcchain/vpcchain/daemon/internal/pool"
	"github.com/vpcchain/vpcchain/integration/vpcsim/ec2"
	"github.com/vpcchain/vpcchain/integration/vpcsim/topology"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// calm is how long after the last disturbance everything must be right again:
// retries are a minute apart at most, an ENI may go a minute after it came, and
// each step of shrinking waits half a minute.
const calm = 20 * time.Minute

// settle ends every disturbance and lets time pass.
func (w *world) settle() {
	w.sim.ClearFaults()
	w.set(topology.Conditions{})
	time.Sleep(time.Minute)
	w.replaceDoomed()
	w.collect(true) // pods that went without a DEL
	time.Sleep(calm)
}

// checkAdd looks at an address at the moment in which a pod gets it.
func (w *world) checkAdd(n int, got engine.Assigned) {
	w.mu.Lock()
	for other, p := range w.pods {
		if p.addr == got.Addr {
			defer w.fail("pod-%d gets %s, which pod-%d has", n, got.Addr, other)
		}
	}
	if at, ok := w.rested[got.Addr]; ok {
		if rest := time.Since(at); rest < w.config.Cooldown {
			defer w.fail("pod-%d gets %s, which was used %v ago", n, got.Addr, rest)
		}
	}
	doomed := w.isTorn(got.Addr)
	w.pods[n].doomed = doomed
	w.mu.Unlock()
	if doomed {
		return // the daemon could not know yet that its ENI is gone
	}
	i, ok := w.carrier(got.Addr)
	if !ok {
		w.fail("pod-%d gets %s, which no ENI of the node has", n, got.Addr)
		return
	}
	if i.ID != got.ENI.ID {
		w.fail("pod-%d gets %s of %s, which is on %s", n, got.Addr, got.ENI.ID, i.ID)
	}
	w.kernel.mu.Lock()
	up := w.kernel.up(i.MAC)
	w.kernel.mu.Unlock()
	if !up {
		w.fail("pod-%d gets %s of %s, whose link is not there", n, got.Addr, i.ID)
	}
	if want, have := vpcnet.ENITable(0, i.Device), w.kernel.tableOf(got.Addr); want != have {
		w.fail("pod-%d gets %s of device %d, but its packets use table %d", n, got.Addr, i.Device, have)
	}
}

// carrier is the node's ENI that has the address in EC2.
func (w *world) carrier(a netip.Addr) (ec2.Interface, bool) {
	for _, i := range w.sim.Interfaces() {
		in := func(p netip.Prefix) bool { return p.Contains(a) }
		if i.Host == nodeName && (slices.Contains(i.Addresses, a) || slices.ContainsFunc(i.Prefixes, in)) {
			return i, true
		}
	}
	return ec2.Interface{}, false
}

// check compares pods, pool, kernel and EC2.
func (w *world) check() {
	p := w.process()
	select {
	case <-p.ready:
	default:
		w.fail("the daemon does not serve")
		return
	}
	s := p.e.View().Pool
	w.checkPods(s)
	w.checkEC2(s)
}

// checkPods: every pod that lives holds its address, and nobody else holds one.
func (w *world) checkPods(s pool.Snapshot) {
	held, want := map[string]string{}, map[string]string{}
	for _, e := range s.ENIs {
		for _, slot := range e.Slots {
			if h := slot.Holder; h != nil {
				held[h.Attachment.ContainerID] = slot.Addr.String()
			}
		}
	}
	for _, l := range s.Lost {
		w.fail("%s holds %s, which no ENI has", l.Attachment, l.Addr)
	}
	w.mu.Lock()
	live := map[netip.Addr]bool{}
	for n, p := range w.pods {
		if p.addr.IsValid() {
			want[attachment(n).ContainerID] = p.addr.String()
			live[p.addr] = true
		}
	}
	w.mu.Unlock()
	if d := cmp.Diff(want, held); d != "" {
		w.fail("who holds what (-the runtime +the pool):\n%s", d)
	}
	for a := range live {
		i, ok := w.carrier(a)
		if !ok {
			w.fail("%s of a pod is on no ENI of the node", a)
			continue
		}
		if table := vpcnet.ENITable(0, i.Device); w.kernel.tableOf(a) != table {
			w.fail("packets of %s use table %d, not %d", a, w.kernel.tableOf(a), table)
		}
	}
	w.kernel.mu.Lock()
	defer w.kernel.mu.Unlock()
	for a := range live {
		if w.kernel.routes[a] == "" {
			defer w.fail("%s has no pod route", a)
		}
	}
}

// checkEC2: the pool has what EC2 has, the kernel no rule beyond it, and no ENI
// is left over.
func (w *world) checkEC2(s pool.Snapshot) {
	type content struct {
		Device    int
		Addresses []string
		Prefixes  []string
	}
	texts := func(i ec2.Interface) content {
		c := content{Device: i.Device}
		for _, a := range i.Addresses {
			c.Addresses = append(c.Addresses, a.String())
		}
		for _, p := range i.Prefixes {
			c.Prefixes = append(c.Prefixes, p.String())
		}
		slices.Sort(c.Addresses)
		slices.Sort(c.Prefixes)
		return c
	}
	want, have := map[string]content{}, map[string]content{}
	tables := map[int]ec2.Interface{}
	for _, i := range w.sim.Interfaces() {
		switch {
		case i.Host == nodeName:
			want[i.ID], tables[vpcnet.ENITable(0, i.Device)] = texts(i), i
		case !i.Managed:
			w.fail("%s is left over in EC2, tags %v", i.ID, i.Tags)
		}
	}
	for _, e := range s.ENIs {
		have[e.ID] = texts(ec2.Interface{Device: e.Device, Addresses: slices.Clone(e.Addresses), Prefixes: slices.Clone(e.Prefixes)})
		if !e.Ready {
			w.fail("%s is not ready: %s", e.ID, e.Reason)
		}
	}
	if d := cmp.Diff(want, have); d != "" {
		w.fail("ENIs (-EC2 +pool):\n%s", d)
	}
	w.kernel.mu.Lock()
	defer w.kernel.mu.Unlock()
	for p, table := range w.kernel.rules {
		if _, ok := tables[table]; !ok {
			defer w.fail("the rule from %s leads to table %d, which is no ENI's", p, table)
		}
	}
}

// quiet is how long the steady state is watched: 10 h in one of twenty schedules.
func (w *world) quiet() time.Duration {
	if w.seed%20 == 0 {
		return 10 * time.Hour
	}
	return time.Hour
}

// steady: nothing happens, so nothing is asked of EC2.
func (w *world) steady(d time.Duration) {
	w.sim.ResetCalls()
	time.Sleep(d)
	if calls := w.sim.Calls(); len(calls) > 0 {
		w.fail("EC2 calls in %v of steady state: %v", d, calls)
	}
}
