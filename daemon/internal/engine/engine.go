// Package engine is the life of vpc-ipamd: a level-triggered loop that observes
// EC2 and the kernel, decides, acts, and serves the plugins meanwhile.
//
// Two things run beside one another. Requests (Assign, Release, …) work on the
// pool under one lock, which is never held over an EC2 or kernel call; what they
// promise is on disk before they answer. The loop compares the kernel with what
// the pool wants, asks package decide what is missing, and starts EC2 actions
// beside itself; their results come back as changes of the pool and wake it up.
package engine

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/branch"
	"github.com/vpcchain/vpcchain/daemon/internal/config"
	"github.com/vpcchain/vpcchain/daemon/internal/decide"
	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/daemon/internal/hostnet"
	"github.com/vpcchain/vpcchain/daemon/internal/intent"
	"github.com/vpcchain/vpcchain/daemon/internal/pool"
	"github.com/vpcchain/vpcchain/daemon/internal/trunking"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// ENIs are the calls that make an ENI.
type ENIs interface {
	Describe(ctx context.Context) ([]eni.ENI, error)
	Create(ctx context.Context, spec eni.CreateSpec) (eni.ENI, error)
	Attach(ctx context.Context, eniID string, card, device int) (attachmentID string, err error)
	DeleteWithInstance(ctx context.Context, eniID, attachmentID string) error
	// Available lists ENIs with all of the tags that are attached to nothing.
	Available(ctx context.Context, tags map[string]string) ([]eni.ENI, error)
}

// ENIRemover are the calls that end one. What is gone already is a success.
type ENIRemover interface {
	Detach(ctx context.Context, attachmentID string) error
	Delete(ctx context.Context, eniID string) error
}

// Addresses are the calls that change what an ENI has.
type Addresses interface {
	Assign(ctx context.Context, eniID string, n int) ([]netip.Addr, error)
	Unassign(ctx context.Context, eniID string, addrs []netip.Addr) error
	AssignPrefixes(ctx context.Context, eniID string, n int) ([]netip.Prefix, error)
	UnassignPrefixes(ctx context.Context, eniID string, prefixes []netip.Prefix) error
}

// Metadata is IMDS: who this instance is, and its view of the ENIs.
type Metadata interface {
	Node(ctx context.Context) (eni.Node, error)
	ENIs(ctx context.Context) ([]eni.ENI, error)
	Limits(ctx context.Context, instanceType string) (eni.Limits, error)
}

// Host is the kernel of the node.
type Host interface {
	Sync(ctx context.Context, d hostnet.Desired) (hostnet.Observed, error)
	EnsureFrom(src netip.Prefix, table int) error
	Watch(ctx context.Context) (<-chan struct{}, error)
}

// Store keeps what a restart must not forget.
type Store interface {
	Load() (held []pool.Allocation, freed map[netip.Addr]time.Time, err error)
	Hold(a pool.Allocation) error
	// Release of nothing writes what could not be written before.
	Release(at time.Time, gone ...pool.Allocation) error
	Trouble() error // why releases are not written yet
}

// Deps is what the engine works with.
type Deps struct {
	Config    config.Config
	ENIs      ENIs
	Remover   ENIRemover
	Addresses Addresses
	Metadata  Metadata
	Host      Host
	Store     Store
	Recovery  Recovery // nil: the books are all there is
	Branches           // of pods with security groups of their own
	Orphans   Orphans  // nil: only DEL and GC release
	Intents   intent.Store
	Drains    Drains // nil: no ENI can be drained
	Groups    Groups
	// Placement says where ENIs for pods go; nil: beside the primary one.
	Placement  Placement
	Kubernetes Kubernetes // nil: nobody tells of it
	// Forget drops the tracked connections of addresses that were released.
	Forget func([]netip.Addr) (int, error)
	// FactsChanged is called after node.json was replaced.
	FactsChanged func()
	Spans        Spans  // nil: nobody hears of them
	StateDir     string // node.json and the spool are in it
	Log          *slog.Logger
}

// Engine is a running daemon without its socket.
type Engine struct {
	Deps
	node   eni.Node
	limits eni.Limits

	mu       sync.Mutex
	pool     *pool.Pool
	waiters  []*waiter
	inFlight map[int]decide.Action
	asking   map[vpcnet.Attachment]*asking
	devices  map[int]bool // device indexes that ENIs being made will take
	draining map[string]mark
	serial   int
	backoff  backoff
	sparing  sparing
	leavers  leavers
	places   places  // where ENIs could not grow lately
	groups   backoff // of changing security groups
	look     looking
	doubts   doubts
	record   error // of the last allocation that could not be recorded
	// unwritten is why the plugins do not have the newest node facts.
	unwritten error
	intents   *intent.Keeper
	branches  *trunking.Manager // nil: the daemon gives none
	trunk     trunkState
	links     map[string]hostnet.Link
	primary   hostnet.Link
	degraded  []string
	sizing    sizing
	plan      []string     // what the loop does next, in words
	released  []netip.Addr // whose tracked connections are still there

	wake    chan struct{}
	status  atomic.Pointer[Status]
	pulse   pulse
	tally   Tally
	actions sync.WaitGroup
}

// New prepares an engine; Start makes it ready to serve.
func New(d Deps) *Engine {
	e := &Engine{
		Deps: d, pool: pool.New(d.Config.Cooldown), inFlight: map[int]decide.Action{}, devices: map[int]bool{}, draining: map[string]mark{},
		asking: map[vpcnet.Attachment]*asking{}, places: places{}, leavers: leavers{},
		links: map[string]hostnet.Link{}, tally: newTally(), wake: make(chan struct{}, 1), intents: intent.New(d.ENIs, d.Remover, d.Intents, d.Log),
	}
	e.intents.SpareFor = d.Config.SpareFor
	if d.Config.CustomNet {
		e.pool.ReservePrimary()
	}
	if d.Config.PodENI && d.BranchENIs != nil {
		c := branch.Settings{Cooldown: d.Config.BranchCooldown, Warm: d.Config.WarmBranches}
		e.branches = trunking.New(c, d.BranchENIs, d.BranchStore, branchNode{e}, d.Log)
	}
	e.status.Store(&Status{State: Unavailable, Reason: "vpc-ipamd is starting"})
	return e
}

func (e *Engine) spoolDir() string { return filepath.Join(e.StateDir, "spool") }

func (e *Engine) factsPath() string { return filepath.Join(e.StateDir, "node.json") }

// poke makes the loop run soon; pokes before it does are one.
func (e *Engine) poke() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// ErrNoAddress is an Assign whose deadline passed without a free address.
var ErrNoAddress = errors.New("no free address")

// ErrUnknown is a Check of an attachment that holds nothing.
var ErrUnknown = errors.New("holds no address")
