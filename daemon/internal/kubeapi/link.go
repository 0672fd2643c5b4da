package kubeapi

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/vpcchain/vpcchain/pkg/ipamapi"
)

const (
	// reportEvery is how often vpc-ipamd is told, without news too: its answer has
	// the failures, and what it knows of pods times out.
	reportEvery = 3 * time.Second
	// settle lets changes that come together be one report.
	settle = 50 * time.Millisecond
	// reportTimeout is for an answer of vpc-ipamd, which waits for nothing.
	reportTimeout = 5 * time.Second
	// podsFor is how long pods are reported while the API server does not answer:
	// those that the kubelet knows of still come.
	podsFor = 30 * time.Second
	// writeEvery is the pause after a capacity that could not be set.
	writeEvery = 10 * time.Second
)

// Link is the way between Kubernetes and vpc-ipamd.
type Link struct {
	client *Client
	daemon ipamapi.KubeClient
	node   string
	log    *slog.Logger

	nodes   *source[node]
	pods    *source[*ipamapi.Pod]
	configs *source[[]byte]
	events  *events
	changed chan struct{} // something to report
	write   chan struct{} // something to tell Kubernetes

	mu       sync.Mutex
	branches *ipamapi.KubeBranches // of the last answer
	heard    *ipamapi.KubeHeard
	trouble  string // that the log has already
}

// New prepares the link of the node.
func New(c *Client, daemon ipamapi.KubeClient, node string, log *slog.Logger) *Link {
	l := &Link{client: c, daemon: daemon, node: node, log: log, changed: make(chan struct{}, 1), write: make(chan struct{}, 1)}
	poke := func() { signal(l.changed) }
	l.nodes, l.pods, l.configs = c.nodes(node, log, poke), c.pods(node, log, poke), c.eniConfigs(log, poke)
	l.events = newEvents(c, node, log)
	return l
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Run works until ctx ends. Neither a vpc-ipamd nor an API server that does not
// answer ends it, and neither keeps the other waiting.
func (l *Link) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, run := range []func(context.Context){l.nodes.run, l.pods.run, l.configs.run, l.reports, l.writes} {
		group.Go(func() error {
			run(ctx)
			return nil
		})
	}
	return group.Wait()
}

// reports tells vpc-ipamd what is known, at each change and from time to time.
func (l *Link) reports(ctx context.Context) {
	for {
		l.report(ctx)
		select {
		case <-ctx.Done():
			return
		case <-time.After(reportEvery):
			continue
		case <-l.changed:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(settle):
			// What came meanwhile is in the next report.
			select {
			case <-l.changed:
			default:
			}
		}
	}
}

// report makes one report. What fails shows in the log once.
func (l *Link) report(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, reportTimeout)
	defer cancel()
	reply, err := l.daemon.Report(ctx, l.known())
	trouble := reply.GetTrouble()
	if err != nil {
		trouble = "vpc-ipamd: " + err.Error()
	}
	l.mu.Lock()
	news := trouble != l.trouble
	l.trouble = trouble
	if err == nil {
		l.branches, l.heard = reply.GetBranches(), reply.GetHeard()
	}
	l.mu.Unlock()
	switch {
	case news && trouble != "" && context.Cause(ctx) == nil:
		l.log.Warn("reporting", "trouble", trouble)
	case news && trouble == "":
		l.log.Info("vpc-ipamd takes the reports")
	}
	if err == nil {
		l.events.add(reply.GetFailures())
		signal(l.write)
	}
}

// known is the report of what is known now.
func (l *Link) known() *ipamapi.KubeReport {
	l.mu.Lock()
	r := &ipamapi.KubeReport{Heard: l.heard}
	l.mu.Unlock()
	nodes, _ := l.nodes.now(0)
	if n, ok := nodes[l.node]; ok {
		r.Node = n.report
	}
	if configs, _ := l.configs.now(0); configs != nil {
		r.EniConfigs = &ipamapi.KubeENIConfigs{}
		for name, spec := range configs {
			r.EniConfigs.List = append(r.EniConfigs.List, &ipamapi.KubeENIConfig{Name: name, Spec: spec})
		}
	}
	if pods, fresh := l.pods.now(podsFor); fresh {
		for _, p := range pods {
			r.Pending = append(r.Pending, p)
		}
		// In an order of its own, so that the same pods are the same report.
		slices.SortFunc(r.Pending, func(a, b *ipamapi.Pod) int {
			return cmp.Or(cmp.Compare(a.GetNamespace(), b.GetNamespace()), cmp.Compare(a.GetName(), b.GetName()))
		})
	}
	return r
}

// writes tells Kubernetes what vpc-ipamd answered.
func (l *Link) writes(ctx context.Context) {
	var next time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.write:
		}
		l.events.tell(ctx)
		if want, ok := l.capacity(); ok && time.Now().After(next) {
			err := l.client.SetCapacity(ctx, l.node, want)
			next = time.Now().Add(writeEvery) // also for the watch to bring it back
			switch {
			case err == nil:
				l.log.Info("the node's capacity is set", "resource", podENI, "to", want)
			case ctx.Err() == nil:
				l.log.Warn("telling Kubernetes", "error", err)
			}
		}
	}
}

// capacity is what the node's should be, if it is another one.
func (l *Link) capacity() (int64, bool) {
	l.mu.Lock()
	b := l.branches
	l.mu.Unlock()
	nodes, _ := l.nodes.now(0)
	n, known := nodes[l.node]
	if b == nil || !known || n.branches == int64(b.GetLimit()) {
		return 0, false
	}
	return int64(b.GetLimit()), true
}
