package trunking

import (
	"context"
	"fmt"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/branch"
)

// View is what an operator sees.
type View struct {
	Trunk    Trunk
	Limit    int
	Branches []Shown
	Waiters  int
}

// Shown is a branch of a View.
type Shown struct {
	branch.Branch
	State branch.State
	Note  string
}

// View copies the state.
func (m *Manager) View() View {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	v := View{Trunk: m.trunk, Limit: m.book.Limit(), Waiters: len(m.waiters)}
	for _, r := range m.book.All() {
		s := Shown{Branch: r, State: m.book.StateAt(r, now), Note: r.Doubt}
		if p := m.keys[r.Key]; p != nil && p.last != nil {
			s.Note = p.last.Error()
		}
		v.Branches = append(v.Branches, s)
	}
	return v
}

// Trouble says what is wrong, for the status.
func (m *Manager) Trouble() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []string
	for _, r := range m.book.All() {
		if r.Holder != nil && r.Doubt != "" {
			out = append(out, fmt.Sprintf("%s of %s: %s", r.ENI, r.Holder.Attachment, r.Doubt))
		}
	}
	if m.look.last != nil {
		out = append(out, "branch ENIs: "+m.look.last.Error())
	}
	if m.written != nil {
		out = append(out, "branch ENIs: "+m.written.Error())
	}
	if len(m.waiters) > 0 {
		w := m.waiters[0]
		if s := m.shortage(w.kind, time.Now()); !m.trunk.Ready || m.kinds[w.kind] != nil {
			out = append(out, "branch ENIs: "+s)
		}
	}
	return out
}

// Review lets go of branches that are withheld for a pod that the kernel does
// not show any more.
func (m *Manager) Review(ctx context.Context) {
	m.mu.Lock()
	doubt := false
	for _, r := range m.book.All() {
		doubt = doubt || r.Doubt != "" && r.Holder == nil
	}
	m.mu.Unlock()
	if !doubt {
		return
	}
	traces, err := m.node.Traces(ctx)
	if err != nil {
		if ctx.Err() == nil {
			m.log.Warn("looking at branch ENIs in doubt", "error", err)
		}
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.save(m.book.Resolve(traces.Uses(), time.Now())...)
	m.poke()
}
