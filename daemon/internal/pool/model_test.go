package pool

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

const (
	modelENIs = 3
	modelPer  = 4 // addresses per ENI
	modelPods = 16
)

// model is the pool as its promises read, without its data structures.
type model struct {
	now   time.Time
	enis  [modelENIs][]netip.Addr // nil: not attached
	ready [modelENIs]bool
	held  map[vpcnet.Attachment]netip.Addr
	freed map[netip.Addr]time.Time
}

func modelID(i int) string { return fmt.Sprintf("eni-%d", i) }

// modelAddrs are the addresses of ENI i whose bit is set.
func modelAddrs(i int, bits byte) []netip.Addr {
	out := []netip.Addr{}
	for n := range modelPer {
		if bits&(1<<n) != 0 {
			out = append(out, netip.AddrFrom4([4]byte{10, 0, byte(i), byte(n)}))
		}
	}
	return out
}

func (m *model) isHeld(a netip.Addr) bool {
	for _, h := range m.held {
		if h == a {
			return true
		}
	}
	return false
}

func (m *model) rests(a netip.Addr) bool {
	at, ok := m.freed[a]
	return ok && !at.After(m.now) && m.now.Before(at.Add(cooldown))
}

// choices are the addresses that the next Assign may give: those unused for
// longest of the first ENI that has any.
func (m *model) choices() []netip.Addr {
	for i, list := range m.enis {
		var out []netip.Addr
		for _, a := range list {
			if !m.ready[i] || m.isHeld(a) || m.rests(a) {
				continue
			}
			if len(out) > 0 && m.freed[a].Before(m.freed[out[0]]) {
				out = nil
			}
			if len(out) == 0 || m.freed[a].Equal(m.freed[out[0]]) {
				out = append(out, a)
			}
		}
		if len(out) > 0 {
			return out
		}
	}
	return nil
}

func (m *model) assign(t *testing.T, p *Pool, a vpcnet.Attachment) {
	t.Helper()
	choices := m.choices()
	got, ok := p.Assign(a, Pod{}, m.now)
	if had, held := m.held[a]; held {
		if !ok || got.Addr != had {
			t.Fatalf("%s holds %s, a second Assign gave %s, %t", a, had, got.Addr, ok)
		}
		return
	}
	if ok != (len(choices) > 0) || ok && !slices.Contains(choices, got.Addr) {
		t.Fatalf("%s got %s, %t; choices are %v", a, got.Addr, ok, choices)
	}
	if ok {
		m.held[a] = got.Addr
	}
}

func (m *model) release(t *testing.T, p *Pool, a vpcnet.Attachment) {
	t.Helper()
	got, ok := p.Release(a, m.now)
	had, held := m.held[a]
	if ok != held || ok && got.Addr != had {
		t.Fatalf("released %s, %t of %s; it held %s, %t", got.Addr, ok, a, had, held)
	}
	if held {
		delete(m.held, a)
		m.freed[had] = m.now
	}
}

// setENIs attaches the ENIs of the low three bits; of ENI bits>>6 an address
// pattern is taken from the middle ones, as if EC2 had lost some.
func (m *model) setENIs(p *Pool, bits byte) {
	var list []eni.ENI
	for i := range modelENIs {
		was := m.enis[i] != nil
		m.enis[i] = nil
		if bits&(1<<i) == 0 {
			m.ready[i] = false
			continue
		}
		pattern := byte(1<<modelPer - 1)
		if int(bits>>6) == i {
			pattern = bits >> 2
		}
		m.enis[i], m.ready[i] = modelAddrs(i, pattern), m.ready[i] && was
		list = append(list, eni.ENI{ID: modelID(i), Device: i, Addresses: m.enis[i]})
	}
	p.SetENIs(list, m.now)
}

func (m *model) takeAddresses(t *testing.T, p *Pool, i int, bits byte) {
	t.Helper()
	ask := modelAddrs(i, bits)
	var want []netip.Addr
	for _, a := range ask {
		if slices.Contains(m.enis[i], a) && !m.isHeld(a) {
			want = append(want, a)
		}
	}
	if got := p.TakeAddresses(modelID(i), ask); !slices.Equal(got, want) {
		t.Fatalf("took %v of %v, want %v", got, ask, want)
	}
	if m.enis[i] != nil {
		m.enis[i] = slices.DeleteFunc(slices.Clone(m.enis[i]), func(a netip.Addr) bool { return slices.Contains(want, a) })
	}
}

func (m *model) takeENI(t *testing.T, p *Pool, i int) {
	t.Helper()
	want := i > 0 && m.enis[i] != nil && !slices.ContainsFunc(m.enis[i], m.isHeld)
	if _, ok := p.TakeENI(modelID(i)); ok != want {
		t.Fatalf("took %s: %t, want %t", modelID(i), ok, want)
	}
	if want {
		m.enis[i], m.ready[i] = nil, false
	}
}

// step does one operation on both.
func (m *model) step(t *testing.T, p *Pool, op, arg byte) {
	t.Helper()
	a := att(fmt.Sprint(arg % modelPods))
	i := int(arg>>4) % modelENIs
	switch op % 10 {
	case 0, 1, 2:
		m.assign(t, p, a)
	case 3, 4:
		m.release(t, p, a)
	case 5:
		m.now = m.now.Add(time.Duration(arg) * time.Second / 4)
	case 6:
		m.setENIs(p, arg)
	case 7:
		p.SetReady(modelID(i), arg&1 == 0, "told")
		m.ready[i] = m.enis[i] != nil && arg&1 == 0
	case 8:
		m.takeAddresses(t, p, i, arg)
	case 9:
		if arg < 8 {
			m.now = m.now.Add(-time.Duration(arg) * time.Minute)
			return
		}
		m.takeENI(t, p, i)
	}
}

// check compares everything that can be seen of the pool.
func (m *model) check(t *testing.T, p *Pool) {
	t.Helper()
	owner, s := map[netip.Addr]vpcnet.Attachment{}, p.Snapshot(m.now)
	for _, h := range p.Allocations() {
		if other, twice := owner[h.Addr]; twice {
			t.Fatalf("%s is held by %s and by %s", h.Addr, other, h.Attachment)
		}
		if owner[h.Addr] = h.Attachment; m.held[h.Attachment] != h.Addr {
			t.Fatalf("%s holds %s, want %s", h.Attachment, h.Addr, m.held[h.Attachment])
		}
	}
	if len(owner) != len(m.held) || s.Count(Used)+len(s.Lost) != len(m.held) {
		t.Fatalf("%d allocations, %d used and %d lost in the snapshot, want %d", len(owner), s.Count(Used), len(s.Lost), len(m.held))
	}
	for _, e := range s.ENIs {
		var have []netip.Addr
		for _, slot := range e.Slots {
			have = append(have, slot.Addr)
			want := Free
			if m.isHeld(slot.Addr) {
				want = Used
			} else if m.rests(slot.Addr) {
				want = Cooling
			}
			if slot.State != want || (slot.Holder != nil) != (want == Used) {
				t.Fatalf("%s: state %d, want %d", slot.Addr, slot.State, want)
			}
		}
		if want := m.enis[e.Device]; !slices.Equal(have, want) || e.Ready != m.ready[e.Device] {
			t.Fatalf("%s has %v, ready %t; want %v, %t", e.ID, have, e.Ready, want, m.ready[e.Device])
		}
	}
	next := p.NextAvailable(m.now)
	if next.IsZero() != (s.Count(Cooling) == 0) || !next.IsZero() && (!next.After(m.now) || next.After(m.now.Add(cooldown))) {
		t.Fatalf("next available at %s, now is %s and %d rest", next, m.now, s.Count(Cooling))
	}
}

// FuzzPool reads two bytes as an operation with its argument.
func FuzzPool(f *testing.F) {
	f.Add([]byte{0, 1, 0, 2, 3, 1, 5, 200, 0, 3})
	f.Add([]byte{0, 0, 0, 1, 0, 2, 0, 3, 0, 4, 6, 0b00_0001_11, 3, 0, 0, 5, 9, 16, 9, 7, 0, 6})
	f.Add([]byte{8, 0x0f, 7, 1, 0, 1, 7, 0, 0, 1, 8, 0x1f, 9, 0x20, 6, 7, 5, 255, 0, 9})
	f.Fuzz(func(t *testing.T, ops []byte) {
		p := New(cooldown)
		m := newModel(p)
		ops = ops[:min(len(ops), 1000)]
		for ; len(ops) >= 2; ops = ops[2:] {
			m.step(t, p, ops[0], ops[1])
			m.check(t, p)
		}
	})
}

// TestPoolAgainstModel walks at random in every test run, with a fixed seed per walk.
func TestPoolAgainstModel(t *testing.T) {
	for seed := range 200 {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			walk(t, uint64(seed))
		})
	}
}

func walk(t *testing.T, seed uint64) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // repeatable
	p := New(cooldown)
	m := newModel(p)
	for range 500 {
		m.step(t, p, byte(r.UintN(256)), byte(r.UintN(256)))
		m.check(t, p)
	}
}

func newModel(p *Pool) *model {
	m := &model{now: epoch(), held: map[vpcnet.Attachment]netip.Addr{}, freed: map[netip.Addr]time.Time{}}
	m.setENIs(p, 0b11_0000_11)
	for i := range m.enis {
		p.SetReady(modelID(i), true, "")
		m.ready[i] = m.enis[i] != nil
	}
	return m
}
