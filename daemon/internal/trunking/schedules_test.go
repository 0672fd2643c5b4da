package trunking_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func (m *model) event(n int) {
	r := m.random
	var live []*modelPod
	m.mu.Lock()
	for _, p := range m.pods {
		if p.live {
			live = append(live, p)
		}
	}
	m.mu.Unlock()
	slices.SortFunc(live, func(a, b *modelPod) int { return strings.Compare(a.id, b.id) })
	switch what := r.IntN(100); {
	case what < 45 || what < 75 && len(live) == 0:
		p := &modelPod{id: fmt.Sprint("p", n), groups: []string{"sg-a", "sg-a", "sg-a,sg-b", "sg-c", "sg-none"}[r.IntN(5)]}
		if r.IntN(10) == 0 {
			p.vlan = 500 + n
		}
		m.mu.Lock()
		m.pods[p.id] = p
		m.mu.Unlock()
		m.life.Go(func() { m.add(p) })
	case what < 75:
		m.del(live[r.IntN(len(live))])
	case what < 84:
		lost := r.IntN(4) == 0
		m.logf("kill, lost %v", lost)
		m.kill()
		if lost {
			time.Sleep(3 * time.Second) // what EC2 was asked is done or not by then
			m.disk.mu.Lock()
			full := m.disk.full
			m.disk.mu.Unlock()
			m.disk = newDisk()
			m.disk.full = full
			time.Sleep(m.ec2.changeDelay) // nobody can tell a pod's branch from one that EC2 does not list
		}
		m.boot()
	case what < 92:
		m.ec2.mu.Lock()
		m.ec2.refuse, m.ec2.lose = float64(r.IntN(4))/10, float64(r.IntN(4))/10
		m.ec2.mu.Unlock()
	case what < 95:
		m.disk.mu.Lock()
		m.disk.full = !m.disk.full
		m.disk.mu.Unlock()
	default:
		m.ec2.intrude(1 + r.IntN(12))
	}
}

// calm is a world without faults, and nobody in it: what then is left is lost.
func (m *model) calm() {
	m.ec2.mu.Lock()
	m.ec2.refuse, m.ec2.lose = 0, 0
	m.ec2.mu.Unlock()
	m.disk.mu.Lock()
	m.disk.full = false
	m.disk.mu.Unlock()
	m.ec2.withdraw()
	time.Sleep(time.Minute)
	m.check("calm")
	m.mu.Lock()
	var all []*modelPod
	for _, p := range m.pods {
		all = append(all, p)
	}
	m.mu.Unlock()
	for _, p := range all {
		m.del(p)
	}
	time.Sleep(time.Minute)
	for _, h := range m.manager().Held() {
		m.manager().Release(h.Attachment) // what a full disk forgot is found without a trace in the kernel
	}
	time.Sleep(time.Hour)
	enis, assocs := m.ec2.there()
	if len(enis)+len(assocs) > 0 {
		m.fail("left in EC2: %v, %v", enis, assocs)
	}
	if n := len(m.manager().View().Branches); n > 0 {
		m.fail("%d branches left in the books", n)
	}
	m.disk.mu.Lock()
	if len(m.disk.records) > 0 {
		m.wrong = append(m.wrong, fmt.Sprintf("%d records left on disk", len(m.disk.records)))
	}
	m.disk.mu.Unlock()
	m.ec2.mu.Lock()
	calls := m.ec2.calls
	m.ec2.mu.Unlock()
	time.Sleep(time.Hour)
	m.ec2.mu.Lock()
	n := m.ec2.calls - calls
	m.ec2.mu.Unlock()
	if n > 0 {
		m.fail("%d calls in an hour without pods", n)
	}
}

func runModel(t *testing.T, seed uint64) (wrong []string, served, calls int) {
	synctest.Test(t, func(t *testing.T) {
		random := rand.New(rand.NewPCG(seed, 1))                                                                                             //nolint:gosec // a schedule
		m := &model{t: t, random: random, ec2: newFakeEC2(rand.New(rand.NewPCG(seed, 2)), 9), disk: newDisk(), pods: map[string]*modelPod{}} //nolint:gosec // likewise
		if random.IntN(2) == 0 {
			m.ec2.newDelay, m.ec2.changeDelay = time.Duration(random.IntN(8))*time.Second, time.Duration(random.IntN(20))*time.Second
		}
		m.boot()
		for n := range 10 + random.IntN(60) {
			time.Sleep(time.Duration(random.ExpFloat64() * float64(10*time.Second)))
			m.event(n)
			m.check("after an event")
		}
		m.calm()
		m.kill()
		m.life.Wait()
		wrong, served, calls = m.wrong, m.served, m.ec2.calls
	})
	return wrong, served, calls
}

// Whatever happens, no VLAN id is given twice at a time, a pod has its groups,
// and nothing is left in EC2, in the books or on disk.
func TestSchedules(t *testing.T) {
	served, calls := 0, 0
	for seed := *firstSeed; seed < *firstSeed+uint64(*schedules); seed++ {
		wrong, s, c := runModel(t, seed)
		if served, calls = served+s, calls+c; len(wrong) > 0 {
			t.Fatalf("seed %d:\n%s", seed, strings.Join(wrong, "\n"))
		}
	}
	t.Logf("%d schedules: %d ADDs served, %d calls of EC2", *schedules, served, calls)
	if served < *schedules {
		t.Error("the schedules serve next to no ADD")
	}
}
