package soak

import (
	"context"
	"slices"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/cloud"
	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/integration/vpcsim/ec2"
)

// metadata is the IMDS client. The daemon reads a hundred thousand keys in a
// simulated day, which is most of what a schedule costs: while IMDS says what it
// said, the answer is the one of before.
type metadata struct {
	*cloud.Client
	w *world

	turn  chan struct{} // has room for who reads
	state int           // of IMDS, when the answers were read
	node  eni.Node
	enis  []eni.ENI
}

// imdsState numbers what IMDS says; 0: it may change or fail at any moment.
func (w *world) imdsState() int {
	for _, f := range w.sim.Faults() {
		if f.Action == ec2.IMDSFault {
			return 0
		}
	}
	lag := time.Duration(w.sim.Conditions().IMDSLag)
	w.kernel.mu.Lock()
	defer w.kernel.mu.Unlock()
	if time.Since(w.kernel.changed) <= lag {
		return 0
	}
	return w.kernel.changes
}

// answerOf is what read says, or what it said in this state. One reads at a time:
// the SDK holds a lock while it waits for IMDS, and a goroutine that waits for a
// lock stops the bubble's clock.
func answerOf[T any](ctx context.Context, m *metadata, kept *T, have func(T) bool, read func() (T, error)) (v T, err error) {
	select {
	case m.turn <- struct{}{}:
		defer func() { <-m.turn }()
	case <-ctx.Done():
		return v, ctx.Err()
	}
	state := m.w.imdsState()
	if m.state != state || state == 0 {
		m.node, m.enis, m.state = eni.Node{}, nil, state
	}
	if have(*kept) {
		return *kept, nil
	}
	v, err = read()
	if err == nil && state != 0 && state == m.w.imdsState() {
		*kept = v
	}
	return v, err
}

func (m *metadata) Node(ctx context.Context) (eni.Node, error) {
	return answerOf(ctx, m, &m.node, func(n eni.Node) bool { return n.InstanceID != "" }, func() (eni.Node, error) { return m.Client.Node(ctx) })
}

func (m *metadata) ENIs(ctx context.Context) ([]eni.ENI, error) {
	got, err := answerOf(ctx, m, &m.enis, func(e []eni.ENI) bool { return e != nil }, func() ([]eni.ENI, error) { return m.Client.ENIs(ctx) })
	return slices.Clone(got), err
}
