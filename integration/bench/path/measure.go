package path

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vpcchain/vpcchain/integration/performance"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// The layouts that are compared. The stock CNI's has two rows: of the two pods
// that came first, whose rules are the first in the list, and of the last two.
const (
	product    = "vpcchain"
	stockFirst = "stock, first pods"
	stockLast  = "stock, last pods"
	bare       = "plain"
)

func layouts() []string { return []string{product, stockFirst, stockLast, bare} }

// The ways of packets that are measured.
const (
	toPod = "pod to pod"
	toVPC = "pod to a host of the VPC"
)

// Node is a node with pods whose daemon is stopped, so that nobody repairs it.
type Node struct {
	Space       Space
	Addrs       []netip.Addr // of the pods, in the order in which they came
	First, Last [2]Pod       // the first two and the last two of them
	Outside     Pod          // a host of the VPC beyond the node's ENIs
}

// Pod is an end of a way: a pod, or a host.
type Pod struct {
	Space Space
	Addr  netip.Addr
}

func (p Pod) end() end { return end{p.Space, "eth0", p.Addr} }

// figures are what was measured of a layout and a way.
type figures struct {
	flood, fresh []float64 // packets a second: of one flow, and of a new flow each
	trips        performance.Samples
}

// Result is of a node with so many pods.
type Result struct {
	Pods  int
	rules map[string]int // in the kernel's list, by layout
	took  map[[2]string]*figures
}

const (
	rounds  = 5
	flooded = 200 * time.Millisecond
	pings   = 1000
)

// Measure sends packets along both ways with each layout in turns. In the end
// the node is as it was.
func Measure(ctx context.Context, n Node) (res Result, err error) {
	h, err := netlinksafe.NewHandleAt(n.Space.ns, unix.NETLINK_ROUTE, unix.NETLINK_NETFILTER)
	if err != nil {
		return res, fmt.Errorf("opening netlink on the node: %w", err)
	}
	defer h.Close()
	r := &run{node: n, h: h, res: Result{Pods: len(n.Addrs), rules: map[string]int{}, took: map[[2]string]*figures{}}}
	defer r.close()
	if err := r.prepare(); err != nil {
		return res, err
	}
	defer func() { err = errors.Join(err, r.use(&r.mine)) }()
	for range rounds {
		for _, name := range layouts() {
			if err := ctx.Err(); err != nil {
				return res, err
			}
			if err := r.turn(name); err != nil {
				return res, fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return r.res, nil
}

// run is what Measure works on.
type run struct {
	node         Node
	h            netlinksafe.Handle // on the node
	mine, theirs layout
	now          *layout
	near, far    *plain
	res          Result
}

// prepare reads the node's layout and makes the others.
func (r *run) prepare() (err error) {
	if r.mine, err = ours(r.h); err != nil {
		return err
	}
	r.theirs, r.now = stock(r.mine, r.node.Addrs), &r.mine
	hops, err := hopsBetween(r.node.Last[0].end(), r.node.Outside.end())
	if err != nil {
		return err
	}
	if r.near, err = newPlain(1, vpcnet.ENIMTU); err != nil {
		return err
	}
	r.far, err = newPlain(hops, vpcnet.ENIMTU)
	return err
}

func (r *run) close() {
	for _, p := range []*plain{r.near, r.far} {
		if p != nil {
			p.close()
		}
	}
}

// use lays the node out.
func (r *run) use(l *layout) error {
	if r.now == l {
		return nil
	}
	err := put(r.h.Handle, *l, *r.now)
	r.now = l
	return err
}

// turn takes a sample of a layout.
func (r *run) turn(name string) error {
	pods, out := [2]end{r.node.Last[0].end(), r.node.Last[1].end()}, r.node.Outside.end()
	from := pods[0]
	l := &r.mine
	switch name {
	case stockFirst:
		l, pods = &r.theirs, [2]end{r.node.First[0].end(), r.node.First[1].end()}
		from = pods[0]
	case stockLast:
		l = &r.theirs
	case bare:
		l, pods, from, out = r.now, r.near.ends, r.far.ends[0], r.far.ends[1]
	}
	if err := r.use(l); err != nil {
		return fmt.Errorf("laying it out: %w", err)
	}
	r.res.rules[name] = 3 // local, main, default
	if name != bare {
		rules, err := r.h.RuleList(netlink.FAMILY_V4)
		if err != nil {
			return fmt.Errorf("listing rules: %w", err)
		}
		r.res.rules[name] = len(rules)
	}
	if err := r.res.figures(name, toPod).sample(pods[0], pods[1], r.h.Handle); err != nil {
		return fmt.Errorf("%s: %w", toPod, err)
	}
	if err := r.res.figures(name, toVPC).sample(from, out, nil); err != nil {
		return fmt.Errorf("%s: %w", toVPC, err)
	}
	return nil
}

func (r Result) figures(layout, way string) *figures {
	k := [2]string{layout, way}
	if r.took[k] == nil {
		r.took[k] = &figures{}
	}
	return r.took[k]
}

// sample takes one of each figure; new flows only where the node whose
// connections are to be forgotten afterwards is given.
func (f *figures) sample(from, to end, node *netlink.Handle) error {
	trips, _, err := ping(from, to, pings)
	if err != nil {
		return err
	}
	f.trips = append(f.trips, trips...)
	rate, err := flood(from, to, flooded)
	if err != nil {
		return err
	}
	f.flood = append(f.flood, rate)
	if node == nil {
		return nil
	}
	if rate, err = newFlows(from, to); err != nil {
		return err
	}
	f.fresh = append(f.fresh, rate)
	return node.ConntrackTableFlush(netlink.ConntrackTable)
}

// hopsBetween is the number of routers on the way, by what is left of the TTL of an answer.
func hopsBetween(from, to end) (int, error) {
	_, left, err := ping(from, to, 1)
	return 64 - left, err // what Linux begins with
}

func median(x []float64) float64 {
	if len(x) == 0 {
		return 0
	}
	return slices.Sorted(slices.Values(x))[len(x)/2]
}
