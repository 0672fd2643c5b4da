package trunking_test

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/branch"
	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/daemon/internal/trunking"
)

var (
	schedules = flag.Int("schedules", 500, "random schedules to run")
	firstSeed = flag.Uint64("seed", 1, "seed of the first schedule")
	oneLog    = flag.Bool("log", false, "log every event, for one failing seed")
)

// model is a node with its manager, its pods and EC2, under one schedule.
type model struct {
	t      *testing.T
	random *rand.Rand
	ec2    *fakeEC2
	disk   *disk
	life   sync.WaitGroup

	mu     sync.Mutex
	now    *trunking.Manager
	dead   *bool
	cancel context.CancelFunc
	pods   map[string]*modelPod
	wrong  []string
	served int
}

type modelPod struct {
	id, groups string
	got        trunking.Given
	live       bool // its ADD has been answered
	vlan       int  // of an announced one
}

func (m *model) logf(format string, args ...any) {
	if *oneLog {
		m.t.Logf(time.Now().Format("15:04:05.000 ")+format, args...)
	}
}

func (m *model) fail(format string, args ...any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.wrong = append(m.wrong, time.Now().Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
}

// BranchPlace is the one subnet.
func (m *model) BranchPlace(context.Context) (eni.Placement, error) {
	return eni.Placement{SubnetID: "subnet-1"}, nil
}

// BranchSpec is this instance's.
func (m *model) BranchSpec(time.Time) eni.CreateSpec {
	return eni.CreateSpec{Description: branch.Description("i-1"), Tags: map[string]string{eni.TagInstance: "i-1"}}
}

// BranchesChanged wakes nobody.
func (m *model) BranchesChanged() {}

// Traces shows the pods that live.
func (m *model) Traces(context.Context) (branch.Traces, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := branch.Traces{Holders: map[netip.Addr]branch.Holder{}}
	for _, p := range m.pods {
		if p.live {
			out.Holders[p.got.Addr] = branch.Holder{Attachment: att(p.id), Since: time.Now()}
		}
	}
	return out, nil
}

func (m *model) boot() {
	ctx, cancel := context.WithCancel(context.Background())
	dead := new(bool)
	log := slog.New(slog.DiscardHandler)
	if *oneLog {
		log = slog.New(slog.NewTextHandler(m.t.Output(), nil))
	}
	now := trunking.New(branch.Settings{Cooldown: time.Minute, Warm: 1}, m.ec2, mount{m.disk, dead}, m, log)
	if err := now.Start(9); err != nil {
		m.fail("start: %v", err)
	}
	now.SetTrunk(trunking.Trunk{ENI: eni.ENI{ID: "eni-trunk", Type: eni.TypeTrunk}, Ready: true, MTU: 9001})
	m.mu.Lock()
	m.now, m.dead, m.cancel = now, dead, cancel
	m.mu.Unlock()
	m.life.Go(func() { _ = now.Run(ctx) })
}

func (m *model) kill() {
	m.disk.mu.Lock()
	*m.dead = true
	m.disk.mu.Unlock()
	m.mu.Lock()
	m.now = nil
	m.mu.Unlock()
	m.cancel()
}

// manager is the daemon; while there is none its clients wait.
func (m *model) manager() *trunking.Manager {
	for {
		m.mu.Lock()
		now := m.now
		m.mu.Unlock()
		if now != nil {
			return now
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (m *model) add(p *modelPod) {
	ctx, cancel := context.WithTimeout(context.Background(), 25*time.Second)
	defer cancel()
	w := branch.Wish{Groups: strings.Split(p.groups, ",")}
	if p.vlan > 0 {
		w = branch.Wish{Announced: &branch.Announcement{
			ENI: "eni-vrc-" + p.id, MAC: "02:00:00:00:00:09", Addr: netip.MustParseAddr("10.9.0.9"), Subnet: netip.MustParsePrefix("10.9.0.0/16"), VLAN: p.vlan,
		}}
	}
	now := m.manager()
	got, err := now.Assign(ctx, att(p.id), podOf(p.id), w)
	m.mu.Lock()
	live := err == nil && now == m.now
	p.got, p.live = got, live
	if live {
		m.served++
	}
	m.mu.Unlock()
	m.logf("ADD %s %s: %s VLAN %d, %v", p.id, p.groups, got.ENI, got.VLAN, err)
	if !live {
		m.del(p)
	}
}

// del is the runtime's DEL; a daemon that is dead meanwhile finds it in the spool.
func (m *model) del(p *modelPod) {
	m.mu.Lock()
	p.live = false
	delete(m.pods, p.id)
	m.mu.Unlock()
	m.logf("DEL %s", p.id)
	for {
		now := m.manager()
		now.Release(att(p.id))
		m.mu.Lock()
		done := now == m.now
		m.mu.Unlock()
		if done {
			return
		}
	}
}

// check compares the pods, the books and EC2.
func (m *model) check(when string) {
	enis, assocs := m.ec2.there()
	m.mu.Lock()
	defer m.mu.Unlock()
	vlans := map[int]string{}
	for _, p := range m.pods {
		if !p.live {
			continue
		}
		if other, twice := vlans[p.got.VLAN]; twice {
			m.wrong = append(m.wrong, fmt.Sprintf("%s: VLAN %d of %s and %s", when, p.got.VLAN, p.id, other))
		}
		vlans[p.got.VLAN] = p.id
		if p.vlan > 0 {
			continue
		}
		e, a := enis[p.got.ENI], assocs[p.got.ENI]
		if a.VLAN != p.got.VLAN || !slices.Equal(e.Groups, strings.Split(p.groups, ",")) {
			m.wrong = append(m.wrong, fmt.Sprintf("%s: %s has %s, VLAN %d, groups %s; EC2 has VLAN %d, groups %s", when, p.id, p.got.ENI, p.got.VLAN, p.groups, a.VLAN, e.Groups))
		}
	}
}
