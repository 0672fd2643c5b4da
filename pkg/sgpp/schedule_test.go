package sgpp

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpcchain/vpcchain/pkg/nodefacts"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// world is a node on which pods with branches come and go: what a runtime, EC2
// and accidents do to it, and what must hold whatever happens.
type world struct {
	t     *testing.T
	rnd   *rand.Rand
	f     *fake
	mode  string
	pods  map[string]*livePod // by attachment: ADDed, and not yet DELed
	names int
}

type livePod struct {
	Branch
	added bool // the ADD answered
	gone  bool // the sandbox died, the veth with it
}

func (w *world) note(format string, args ...any) {
	w.f.log = append(w.f.log, "# "+fmt.Sprintf(format, args...))
}

// invariants hold after each single step of a plugin: there is a way to the node's
// own addresses, and no pod that is up has one past its branch.
func (w *world) invariants() error {
	if !w.f.hasRule(rule.local) {
		return errors.New("the node has no rule to its own addresses")
	}
	for _, p := range w.pods {
		veth, ok := w.f.byName(p.HostVeth)
		if !ok || !veth.Up || veth.Alias != p.Attachment.Alias() {
			continue
		}
		first := p.rules()[0]
		if !w.f.hasRule(func(r rule) bool { return r == first }) {
			return fmt.Errorf("%s is up without rule %q: open", p.HostVeth, first)
		}
		if p.strict() && w.f.hasRule(func(r rule) bool { return r.local() && r.Priority == 0 }) {
			return fmt.Errorf("%s is up and strict, and the local table comes first", p.HostVeth)
		}
	}
	return nil
}

// freeVLAN is one of three ids that no live pod has: reuse is the rule.
func (w *world) freeVLAN() (int, bool) {
	for range 5 {
		vlan := 153 + w.rnd.IntN(3)
		taken := slices.ContainsFunc(w.list(), func(p *livePod) bool { return p.VLAN == vlan && !p.gone })
		if !taken {
			return vlan, true
		}
	}
	return 0, false
}

// list is in a stable order: the schedule is a function of the seed.
func (w *world) list() []*livePod {
	var out []*livePod
	for _, p := range w.pods {
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b *livePod) int { return strings.Compare(a.Attachment.Alias(), b.Attachment.Alias()) })
	return out
}

// killAfter lets the next call die at a random step, one time in three.
func (w *world) killAfter() bool {
	w.f.alive = -1
	if w.rnd.IntN(3) == 0 {
		w.f.alive = w.rnd.IntN(18)
	}
	return w.f.alive >= 0
}

// call runs a plugin's call that may be killed, and tells whether it finished.
func (w *world) call(what string, f func() error) bool {
	w.killAfter()
	left := w.f.alive
	err := f()
	killed := w.f.alive == 0
	w.f.alive = -1
	w.note("%s (kill %d): %v", what, left, err)
	if err != nil && !killed && !errors.Is(err, ErrNoTrunk) && !errors.Is(err, ErrNoVeth) {
		w.t.Errorf("%s: %v", what, err)
	}
	return err == nil
}

func (w *world) addPod() {
	vlan, ok := w.freeVLAN()
	if !ok {
		return
	}
	w.names++
	b := fakeBranch(fmt.Sprint(w.names), vlan, w.mode)
	// A sandbox that is made again has its pod's name, and so its host veth's.
	if dead := slices.IndexFunc(w.list(), func(p *livePod) bool { return p.gone }); dead >= 0 && w.rnd.IntN(2) == 0 {
		b.HostVeth = w.list()[dead].HostVeth
	}
	for _, p := range w.list() {
		p.gone = p.gone || p.HostVeth == b.HostVeth // vpc-veth replaces its veth
	}
	w.f.veth(b)
	p := &livePod{Branch: b}
	w.pods[b.Attachment.Alias()] = p
	p.added = w.call("ADD "+b.Attachment.ContainerID+fmt.Sprint(" VLAN ", vlan, " ", w.mode), func() error { return w.f.keeper().Add(b, fakeNode()) })
}

func (w *world) delPod(p *livePod) {
	who := Leaving{ContainerID: p.Attachment.ContainerID, IfName: p.Attachment.IfName}
	if w.rnd.IntN(2) == 0 {
		who.Branch = p.Branch
		who.Branch.Mode = ""
	}
	if !w.call(fmt.Sprint("DEL ", who.ContainerID, " prevResult ", who.Branch.VLAN > 0), func() error { return w.f.keeper().Del(who) }) {
		return
	}
	w.unveth(p)
	delete(w.pods, p.Attachment.Alias())
}

// unveth is vpc-veth's DEL, or the end of the pod's network namespace.
func (w *world) unveth(p *livePod) {
	if l, ok := w.f.byName(p.HostVeth); ok && l.Alias == p.Attachment.Alias() {
		w.f.remove(l.Index)
	}
}

func (w *world) step() {
	list := w.list()
	pick := func() *livePod { return list[w.rnd.IntN(len(list))] }
	switch n := w.rnd.IntN(20); {
	case n < 8 || len(list) == 0:
		w.addPod()
	case n < 13:
		w.delPod(pick())
	case n < 15:
		p := pick()
		w.note("sandbox %s dies", p.Attachment.ContainerID)
		p.gone = true
		w.unveth(p)
	case n < 16:
		w.mode = map[string]string{nodefacts.ModeStrict: nodefacts.ModeStandard, nodefacts.ModeStandard: nodefacts.ModeStrict}[w.mode]
		w.note("mode %s", w.mode)
	case n < 17:
		w.call("GC", func() error {
			return w.f.keeper().GC("vpc", func(a vpcnet.Attachment) bool { return w.pods[a.Alias()] != nil })
		})
	case n < 18:
		if l, ok := w.f.byName("ens6"); ok && w.rnd.IntN(2) == 0 {
			w.note("the trunk is detached")
			w.f.remove(l.Index)
		}
	default:
		w.heal()
	}
}

// heal is the daemon's look at the node, with the trunk back in place: every pod
// whose ADD was answered is whole afterwards.
func (w *world) heal() {
	if _, ok := w.f.byName("ens6"); !ok {
		w.note("the trunk is back")
		w.f.trunk()
	}
	var want []Branch
	for _, p := range w.list() {
		if p.added && !p.gone {
			want = append(want, p.Branch)
		}
	}
	if !w.call("Heal", func() error { _, err := w.f.keeper().Heal(want, fakeNode()); return err }) {
		return
	}
	if changed, err := w.f.keeper().Heal(want, fakeNode()); err != nil || len(changed) > 0 {
		w.t.Errorf("a second Heal changes %q, %v", changed, err)
	}
	w.checkAll()
}

// checkAll runs CHECK for the pods that are whole by what the test knows.
func (w *world) checkAll() {
	if _, ok := w.f.byName("ens6"); !ok {
		return
	}
	for _, p := range w.list() {
		veth, ok := w.f.byName(p.HostVeth)
		if !p.added || p.gone || !ok || !veth.Up {
			continue // a DEL that was killed has begun with it
		}
		if err := w.f.keeper().Check(p.Branch, fakeNode()); err != nil {
			w.t.Errorf("CHECK of %s: %v", p.Attachment.ContainerID, err)
			w.note("CHECK of %s: %v", p.Attachment.ContainerID, err)
		}
	}
}

// Random schedules of pods, kills and accidents over a kernel with semantics:
// nobody's pod is ever open or without its branch, and nothing is left at the end.
func TestSchedules(t *testing.T) {
	for seed := range uint64(500) {
		w := &world{t: t, rnd: rand.New(rand.NewPCG(seed, 5)), f: newFake(), mode: nodefacts.ModeStrict, pods: map[string]*livePod{}} //nolint:gosec // a schedule
		before := w.f.text()
		w.f.after = func(s step) error {
			if err := w.invariants(); err != nil {
				w.t.Errorf("after %q: %v", s, err)
			}
			return nil
		}
		for range 40 {
			w.step()
		}
		if _, ok := w.f.byName("ens6"); !ok {
			w.f.trunk()
		}
		for i := 0; len(w.pods) > 0; i++ {
			if i > 200 {
				t.Fatalf("seed %d: DEL never ends", seed)
			}
			w.delPod(w.list()[0])
		}
		if err := w.f.keeper().GC("vpc", func(vpcnet.Attachment) bool { return false }); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(before, w.f.text()); diff != "" {
			t.Errorf("left:\n%s", diff)
		}
		if t.Failed() {
			t.Fatalf("seed %d:\n%s", seed, strings.Join(w.f.log, "\n"))
		}
	}
}
