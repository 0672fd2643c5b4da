package engine

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"testing/synctest"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/hostnet"
	"github.com/vpcchain/vpcchain/daemon/internal/intent"
	"github.com/vpcchain/vpcchain/daemon/internal/pool"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// fakeHost is a kernel where each attached ENI's link is ready unless it is down.
type fakeHost struct {
	mu       sync.Mutex
	desired  hostnet.Desired
	from     map[netip.Addr]int
	down     map[string]string // ENI id -> reason
	degraded []string
	fromErr  error
	events   chan struct{}
	heals    map[string]int
	hang     chan struct{} // closed: Sync returns; nil: at once
}

func (h *fakeHost) Sync(_ context.Context, d hostnet.Desired) (hostnet.Observed, error) {
	h.mu.Lock()
	hang := h.hang
	h.mu.Unlock()
	if hang != nil {
		<-hang
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.desired = d
	obs := hostnet.Observed{Primary: hostnet.Link{Name: "eth0", MTU: 9001, Ready: true}, ENIs: map[string]hostnet.Link{}, Degraded: h.degraded, Healed: h.heals}
	for _, e := range d.ENIs {
		reason, down := h.down[e.ID]
		obs.ENIs[e.ID] = hostnet.Link{Name: fmt.Sprintf("eth%d", e.Device), MTU: 9001, Ready: !down, Reason: reason}
	}
	return obs, nil
}

func (h *fakeHost) EnsureFrom(src netip.Prefix, table int) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.fromErr != nil {
		return h.fromErr
	}
	h.from[src.Addr()] = table
	return nil
}

func (h *fakeHost) Watch(context.Context) (<-chan struct{}, error) { return h.events, nil }

// fakeStore outlives an engine, as the file does.
type fakeStore struct {
	mu    sync.Mutex
	held  map[vpcnet.Attachment]pool.Allocation
	freed map[netip.Addr]time.Time
	begun map[string]intent.Intent
	err   error
}

func (s *fakeStore) Intents() ([]intent.Intent, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Values(s.begun)), s.err
}

func (s *fakeStore) Intend(in intent.Intent) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.begun[in.ID] = in
	}
	return s.err
}

func (s *fakeStore) Done(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		delete(s.begun, id)
	}
	return s.err
}

func (s *fakeStore) Load() ([]pool.Allocation, map[netip.Addr]time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Values(s.held)), maps.Clone(s.freed), s.err
}

func (s *fakeStore) Hold(a pool.Allocation) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.held[a.Attachment] = a
	}
	return s.err
}

func (s *fakeStore) Release(at time.Time, gone ...pool.Allocation) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range gone {
		if s.err == nil {
			delete(s.held, a.Attachment)
			s.freed[a.Addr] = at
		}
	}
	return s.err
}

func (s *fakeStore) Trouble() error { return nil }

func (s *fakeStore) set(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// recorded is what a restart would find.
func (s *fakeStore) recorded() map[vpcnet.Attachment]pool.Allocation {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.held)
}

func (h *fakeHost) table(a netip.Addr) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.from[a]
}

func (h *fakeHost) last() hostnet.Desired {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.desired
}

func (h *fakeHost) set(change func()) {
	h.mu.Lock()
	change()
	h.mu.Unlock()
	h.events <- struct{}{}
	synctest.Wait()
}
