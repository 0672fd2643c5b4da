// Package trunking gives pods branch ENIs, each a VLAN of the node's trunk ENI.
// It carries out what package branch decides: a level-triggered loop that makes,
// keeps and ends branches beside the requests, which work on the books under one
// lock that is never held over a call of EC2. What a request promises, and what
// EC2 is about to be asked, is on disk before.
package trunking

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/branch"
	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/daemon/internal/pool"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// EC2 are the calls about branch ENIs.
type EC2 interface {
	Create(ctx context.Context, spec eni.CreateSpec) (eni.ENI, error)
	Associate(ctx context.Context, a eni.Association, token string) (id string, err error)
	Disassociate(ctx context.Context, association string) error
	// DeleteBranch deletes one. What is gone is a success, what is in use eni.ErrInUse.
	DeleteBranch(ctx context.Context, id string) error
	// Branches lists the branch ENIs with the tag of this instance, and all associations.
	Branches(ctx context.Context) ([]eni.ENI, []eni.Association, error)
}

// Store keeps the books over a restart.
type Store interface {
	// Branches are the records, when each VLAN id was given up, and whether the
	// books are new: nothing was ever written, or it got lost.
	Branches() (records []branch.Branch, vlans map[int]time.Time, fresh bool, err error)
	PutBranches(records ...branch.Branch) error
	// DropBranches forgets records whose VLAN ids are given up at the time.
	DropBranches(at time.Time, records ...branch.Branch) error
	// BranchesComplete says that the books have all there is: from now on they are not new.
	BranchesComplete() error
}

// Node is what the manager needs to know of its node.
type Node interface {
	// BranchPlace is where branch ENIs go.
	BranchPlace(ctx context.Context) (eni.Placement, error)
	BranchSpec(now time.Time) eni.CreateSpec // description and tags
	// Traces are what the kernel shows of pods.
	Traces(ctx context.Context) (branch.Traces, error)
	// BranchesChanged is called, without a lock, when attachments have changed or
	// a trunk is wanted.
	BranchesChanged()
}

// Trunk is what the engine knows of the node's trunk ENI.
type Trunk struct {
	eni.ENI        // its zero value: there is none
	Ready   bool   // its link is up
	Made    bool   // just now, by this daemon: EC2 has no associations of it
	MTU     int    // of its link, bytes
	Reason  string // why there is none, or why it is not ready
}

// Manager has the branches of the node. Its methods may be called concurrently.
type Manager struct {
	ec2   EC2
	store Store
	node  Node
	log   *slog.Logger

	mu       sync.Mutex
	book     *branch.Book
	trunk    Trunk
	need     Need
	waiters  []*waiter
	busy     map[string]bool // records that an action is at
	doubtful map[string]bool // creates that may have been applied
	dirty    map[string]bool // records to be written again
	fresh    bool            // the books are new, and EC2 was not heard yet
	stale    bool            // EC2 is to be asked what there is
	looking  bool
	look     pause
	kinds    map[branch.Kind]*pause
	keys     map[string]*pause
	written  error // why something could not be written

	wake    chan struct{}
	actions sync.WaitGroup
}

// New prepares a manager; Start makes it ready.
func New(s branch.Settings, ec2 EC2, store Store, node Node, log *slog.Logger) *Manager {
	return &Manager{
		ec2: ec2, store: store, node: node, log: log, book: branch.NewBook(s), busy: map[string]bool{}, doubtful: map[string]bool{},
		dirty: map[string]bool{}, kinds: map[branch.Kind]*pause{}, keys: map[string]*pause{}, wake: make(chan struct{}, 1),
		trunk: Trunk{Reason: "the node has no trunk ENI yet"},
	}
}

// Start takes up what the daemon before left. Limit is how many branches EC2
// allows on a trunk of the instance's type.
func (m *Manager) Start(limit int) error {
	records, vlans, fresh, err := m.store.Branches()
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.book.SetLimit(limit)
	m.book.Restore(records, vlans, time.Now())
	m.fresh, m.stale = fresh, true
	return nil
}

// Need is what pods need of a trunk that is not there.
type Need struct {
	Make bool // one is to be made
	Look bool // somebody else should have made one: EC2 is to be asked
}

// SetTrunk says what the trunk is now, and returns what is needed. A look is
// asked for once.
func (m *Manager) SetTrunk(t Trunk) Need {
	m.mu.Lock()
	defer m.mu.Unlock()
	if was := m.trunk; was.ID != t.ID || was.Ready != t.Ready || was.Reason != t.Reason || was.MTU != t.MTU {
		m.trunk = t
		if t.ID != "" && t.ID != was.ID {
			m.stale = m.stale || !t.Made
			m.save(m.book.Moved(t.ID)...)
		}
		m.poke()
	}
	need := m.need
	if m.need.Look = false; m.trunk.ID != "" {
		m.need, need = Need{}, Need{}
	}
	return need
}

// TrunkID is the trunk's id that the records name, "" without any: what a daemon
// goes by that cannot ask EC2.
func (m *Manager) TrunkID() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.book.All() {
		if r.Trunk != "" && r.Step == branch.Ready {
			return r.Trunk
		}
	}
	return ""
}

// Held lists what attachments have.
func (m *Manager) Held() []pool.Allocation {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.book.Allocations()
}

// Find is the branch of an attachment.
func (m *Manager) Find(a vpcnet.Attachment) (branch.Branch, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.book.Held(a)
}

// poke makes the loop run soon; pokes before it does are one.
func (m *Manager) poke() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// save writes records down, now or, when that fails, later; the caller holds the lock.
func (m *Manager) save(records ...branch.Branch) {
	if len(records) == 0 {
		return
	}
	if err := m.store.PutBranches(records...); err != nil {
		m.unwritten(err, records...)
	}
}

// drop forgets records that EC2 has nothing of; the caller holds the lock.
func (m *Manager) drop(now time.Time, records ...branch.Branch) {
	if len(records) == 0 {
		return
	}
	if err := m.store.DropBranches(now, records...); err != nil {
		m.unwritten(err, records...)
	}
	for _, r := range records {
		delete(m.keys, r.Key)
		delete(m.doubtful, r.Key)
	}
}

func (m *Manager) unwritten(err error, records ...branch.Branch) {
	m.log.Warn("recording branch ENIs", "error", err)
	m.written = err
	for _, r := range records {
		m.dirty[r.Key] = true
	}
}

// flush writes what could not be written before; the caller holds the lock.
func (m *Manager) flush(now time.Time) {
	for key := range m.dirty {
		r, ok := m.book.Get(key)
		err := error(nil)
		if ok {
			err = m.store.PutBranches(r)
		} else {
			err = m.store.DropBranches(now, branch.Branch{Key: key})
		}
		if err != nil {
			m.written = err
			return
		}
		delete(m.dirty, key)
	}
	m.written = nil
}

// doubtfulError tells that a call which failed may have been applied.
func doubtfulError(err error) bool {
	return errors.Is(err, eni.ErrNoAnswer) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
