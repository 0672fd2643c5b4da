// Package pool is the warm pool: which addresses the node's ENIs have, who holds
// them, and which rest after use. It is a plain state machine: no lock, no
// clock, no I/O. Whoever owns a Pool guards it and passes the time.
package pool

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// Pod is who an attachment is for, as the runtime told; informative.
type Pod struct {
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name,omitempty"`
	UID       string `json:"uid,omitempty"`
	Netns     string `json:"netns,omitempty"`    // path of its network namespace, if the daemon can see it
	HostVeth  string `json:"hostVeth,omitempty"` // name of the host's end if it is not made of the other fields
}

// Allocation is an address that an attachment holds.
type Allocation struct {
	Attachment vpcnet.Attachment `json:"attachment"`
	Addr       netip.Addr        `json:"addr"`
	ENI        string            `json:"eni"`
	Pod        Pod               `json:"pod"`
	Since      time.Time         `json:"since"`
}

// Pool is the state. The zero value is not usable; New makes one.
type Pool struct {
	cooldown time.Duration
	reserved bool // the primary ENI carries no pods
	prefixes bool // addresses of prefixes are given out before single ones
	enis     map[string]*member
	held     map[vpcnet.Attachment]*Allocation
	byAddr   map[netip.Addr]*Allocation
	freed    map[netip.Addr]time.Time // last release: cooldown, and least recently used first
	withheld map[netip.Addr]string    // see Withhold
	draining map[string]bool          // ENIs by id, see Drain
}

// member is an ENI of the pool.
type member struct {
	eni.ENI
	ready  bool
	reason string
	since  time.Time // when the pool first saw it
}

// New is an empty pool.
func New(cooldown time.Duration) *Pool {
	return &Pool{
		cooldown: cooldown, enis: map[string]*member{}, held: map[vpcnet.Attachment]*Allocation{},
		byAddr: map[netip.Addr]*Allocation{}, freed: map[netip.Addr]time.Time{},
	}
}

// ReservePrimary keeps pods off the primary ENI. A pod that has an address there
// keeps it until it goes.
func (p *Pool) ReservePrimary() { p.reserved = true }

// Restore puts back what was held before a restart.
func (p *Pool) Restore(held []Allocation, freed map[netip.Addr]time.Time) error {
	for _, a := range held {
		if other, ok := p.byAddr[a.Addr]; ok {
			return fmt.Errorf("restoring the pool: %s is held by %s and by %s", a.Addr, other.Attachment, a.Attachment)
		}
		p.held[a.Attachment], p.byAddr[a.Addr] = &a, &a
	}
	maps.Copy(p.freed, freed)
	return nil
}

// SetENIs makes the ENIs of the pool those given: EC2's truth. An address that
// a pod holds is kept in the books even if its ENI lost it.
func (p *Pool) SetENIs(enis []eni.ENI, now time.Time) {
	next := map[string]*member{}
	for _, e := range enis {
		m := &member{ENI: e, since: now, reason: "not set up yet"}
		if old, ok := p.enis[e.ID]; ok {
			m.since, m.ready, m.reason = old.since, old.ready, old.reason
		}
		next[e.ID] = m
	}
	p.enis = next
}

// AddENI adds an ENI that was just attached. One that is there, and was detached
// by somebody meanwhile, may be another device now.
func (p *Pool) AddENI(e eni.ENI, now time.Time) {
	if old, ok := p.enis[e.ID]; !ok || old.AttachmentID != e.AttachmentID || old.Card != e.Card || old.Device != e.Device {
		p.enis[e.ID] = &member{ENI: e, since: now, reason: "its link is not there yet"}
	}
}

// SetReady says whether the kernel is ready to carry an ENI's pods.
func (p *Pool) SetReady(id string, ready bool, reason string) {
	if m, ok := p.enis[id]; ok {
		m.ready, m.reason = ready, reason
	}
}

// AddAddresses adds addresses that EC2 has assigned to an ENI.
func (p *Pool) AddAddresses(id string, addrs []netip.Addr) {
	m, ok := p.enis[id]
	if !ok {
		return
	}
	for _, a := range addrs {
		if !slices.Contains(m.Addresses, a) {
			m.Addresses = append(slices.Clip(m.Addresses), a)
		}
	}
}

// TakeAddresses removes free addresses that are to go back to EC2 and returns
// those that it removed; a held one stays.
func (p *Pool) TakeAddresses(id string, addrs []netip.Addr) []netip.Addr {
	m, ok := p.enis[id]
	if !ok {
		return nil
	}
	var out []netip.Addr
	for _, a := range addrs {
		if p.byAddr[a] == nil && slices.Contains(m.Addresses, a) {
			out = append(out, a)
		}
	}
	m.Addresses = slices.DeleteFunc(slices.Clone(m.Addresses), func(a netip.Addr) bool { return slices.Contains(out, a) })
	return out
}

// TakeENI removes an ENI that nobody uses, so that it can be detached.
func (p *Pool) TakeENI(id string) (eni.ENI, bool) {
	m, ok := p.enis[id]
	if !ok || m.IsPrimary() || p.reserves(m.ENI) {
		return eni.ENI{}, false
	}
	for a := range addresses(m.ENI) {
		if p.byAddr[a] != nil || p.doubt(a) != "" {
			return eni.ENI{}, false
		}
	}
	delete(p.enis, id)
	return m.ENI, true
}

// Held is the allocation of an attachment.
func (p *Pool) Held(a vpcnet.Attachment) (Allocation, bool) {
	if h, ok := p.held[a]; ok {
		return *h, true
	}
	return Allocation{}, false
}

// HeldBy is the allocation of a container's interface on whatever network.
func (p *Pool) HeldBy(containerID, ifname string) (Allocation, bool) {
	for a, h := range p.held {
		if a.ContainerID == containerID && a.IfName == ifname {
			return *h, true
		}
	}
	return Allocation{}, false
}

// ENI is an ENI of the pool.
func (p *Pool) ENI(id string) (eni.ENI, bool) {
	if m, ok := p.enis[id]; ok {
		return m.ENI, true
	}
	return eni.ENI{}, false
}

// Assign gives the attachment an address, the same one again if it holds one.
// It fails if no address is available.
func (p *Pool) Assign(a vpcnet.Attachment, pod Pod, now time.Time) (Allocation, bool) {
	if h, ok := p.held[a]; ok {
		return *h, true
	}
	if addr, id, ok := p.pick(now); ok {
		h := &Allocation{Attachment: a, Addr: addr, ENI: id, Pod: pod, Since: now}
		p.held[a], p.byAddr[addr] = h, h
		return *h, true
	}
	return Allocation{}, false
}

func (p *Pool) available(a netip.Addr, now time.Time) bool {
	if p.byAddr[a] != nil || p.doubt(a) != "" {
		return false
	}
	freed, ok := p.freed[a]
	// A clock that jumped back must not hold an address for ever.
	return !ok || now.Sub(freed) >= p.cooldown || freed.After(now)
}

// Release frees the attachment's address and lets it rest.
func (p *Pool) Release(a vpcnet.Attachment, now time.Time) (Allocation, bool) {
	h, ok := p.held[a]
	if !ok {
		return Allocation{}, false
	}
	delete(p.held, a)
	delete(p.byAddr, h.Addr)
	p.freed[h.Addr] = now
	return *h, true
}

// Undo takes back an Assign that could not be recorded.
func (p *Pool) Undo(h Allocation) {
	delete(p.held, h.Attachment)
	delete(p.byAddr, h.Addr)
}

// Allocations lists what is held.
func (p *Pool) Allocations() []Allocation {
	out := make([]Allocation, 0, len(p.held))
	for _, h := range p.held {
		out = append(out, *h)
	}
	return out
}

// NextAvailable is when the next resting address can be used; zero if none rests.
func (p *Pool) NextAvailable(now time.Time) time.Time {
	var next time.Time
	for _, m := range p.enis {
		for a := range addresses(m.ENI) {
			if p.byAddr[a] != nil || p.doubt(a) != "" || p.available(a, now) {
				continue
			}
			if t := p.freed[a].Add(p.cooldown); next.IsZero() || t.Before(next) {
				next = t
			}
		}
	}
	return next
}

// ordered lists the ENIs, the primary one first, then by device.
func (p *Pool) ordered() []*member {
	return slices.SortedFunc(maps.Values(p.enis), func(a, b *member) int {
		return cmp.Or(cmp.Compare(a.Card, b.Card), cmp.Compare(a.Device, b.Device), cmp.Compare(a.ID, b.ID))
	})
}
