package soak

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/vpcchain/vpcchain/integration/vpcsim/ec2"
	"github.com/vpcchain/vpcchain/integration/vpcsim/topology"
)

// schedule is a setting and what happens in it, all of it made from a seed.
type schedule struct {
	seed     uint64
	kind     string // instance type
	subnet   string // CIDR
	env      map[string]string
	events   []event
	duration time.Duration
}

// event happens at a time after the start.
type event struct {
	at         time.Duration
	what       what
	pod        int
	fault      ec2.Fault
	conditions topology.Conditions
	down       time.Duration // how long the daemon stays away
	state      stateLoss     // what becomes of the state file meanwhile
	nth        int           // of the ENIs, by id
}

// stateLoss is what happens to the state file while no daemon runs.
type stateLoss int

const (
	kept stateLoss = iota
	removed
	truncated
	spoilt // a byte of it is wrong
)

type what int

const (
	add what = iota
	del
	lose // the pod goes without a DEL; GC finds it
	gc
	kill
	fault
	conditions
	detach // somebody detaches an ENI of the node
)

func (e event) String() string {
	switch e.what {
	case add, del, lose:
		return fmt.Sprintf("%v %s pod-%d", e.at, []string{"ADD", "DEL", "lose"}[e.what], e.pod)
	case gc:
		return fmt.Sprintf("%v GC", e.at)
	case kill:
		return fmt.Sprintf("%v SIGKILL, down for %v%s", e.at, e.down, []string{"", ", the state file is removed", ", the state file is truncated", ", the state file is spoilt"}[e.state])
	case detach:
		return fmt.Sprintf("%v somebody detaches ENI %d", e.at, e.nth)
	case fault:
		return fmt.Sprintf("%v fault %+v", e.at, e.fault)
	default:
		return fmt.Sprintf("%v conditions %v", e.at, e.conditions)
	}
}

func (s schedule) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d: %s in %s, %v, %v\n", s.seed, s.kind, s.subnet, s.env, s.duration)
	for _, e := range s.events {
		fmt.Fprintf(&b, "  %s\n", e)
	}
	return b.String()
}

// make builds the schedule of a seed.
func build(seed uint64) schedule {
	r := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // a replayable schedule
	s := schedule{
		seed: seed, kind: pick(r, "t3.small", "t3.medium", "m5.large", "m5.xlarge"), subnet: pick(r, "10.20.0.0/22", "10.20.0.0/22", "10.20.0.0/26"),
		env: targets(r), duration: time.Duration(20+r.IntN(100)) * time.Minute,
	}
	g := &generator{r: r, s: &s}
	g.pods(4 + r.IntN(60))
	g.many(r.IntN(8), func(at time.Duration) event {
		e := event{at: at, what: kill, down: pick(r, 0, 100*time.Millisecond, time.Second, 20*time.Second)}
		if r.IntN(4) == 0 {
			e.state = pick(r, removed, truncated, spoilt)
		}
		return e
	})
	g.many(max(0, r.IntN(6)-3), func(at time.Duration) event { return event{at: at, what: detach, nth: r.IntN(8)} })
	g.many(r.IntN(12), g.fault)
	g.many(r.IntN(5), g.conditions)
	g.many(r.IntN(3), func(at time.Duration) event { return event{at: at, what: gc} })
	slices.SortStableFunc(s.events, func(a, b event) int { return cmp.Compare(a.at, b.at) })
	return s
}

func pick[T any](r *rand.Rand, values ...T) T { return values[r.IntN(len(values))] }

func targets(r *rand.Rand) map[string]string {
	env := map[string]string{"IP_COOLDOWN_PERIOD": pick(r, "5", "30")}
	if r.IntN(3) == 0 {
		env["ENABLE_PREFIX_DELEGATION"] = "true"
	}
	switch r.IntN(3) {
	case 0:
		env["WARM_PREFIX_TARGET"] = fmt.Sprint(r.IntN(3))
		env["WARM_ENI_TARGET"] = fmt.Sprint(r.IntN(3))
	case 1:
		env["WARM_IP_TARGET"], env["MINIMUM_IP_TARGET"] = fmt.Sprint(1+r.IntN(6)), fmt.Sprint(r.IntN(12))
	default:
		env["MINIMUM_IP_TARGET"] = fmt.Sprint(1 + r.IntN(12))
	}
	return env
}

type generator struct {
	r *rand.Rand
	s *schedule
}

func (g *generator) moment() time.Duration {
	return time.Duration(g.r.Int64N(int64(g.s.duration/time.Millisecond))) * time.Millisecond
}

func (g *generator) many(n int, f func(time.Duration) event) {
	for range n {
		g.s.events = append(g.s.events, f(g.moment()))
	}
}

// pods come one by one or in bursts; most go again.
func (g *generator) pods(n int) {
	var at time.Duration
	for i := range n {
		if i == 0 || g.r.IntN(3) > 0 {
			at = g.moment()
		} else {
			at += time.Duration(g.r.IntN(300)) * time.Millisecond
		}
		g.s.events = append(g.s.events, event{at: at, what: add, pod: i})
		if g.r.IntN(4) == 0 {
			continue
		}
		end := event{at: at + time.Duration(g.r.Int64N(int64(g.s.duration-min(at, g.s.duration-1)))), what: del, pod: i}
		if g.r.IntN(8) == 0 {
			end.what = lose
		}
		g.s.events = append(g.s.events, end)
	}
}

// fault is one that the daemon must live with for a number of calls.
func (g *generator) fault(at time.Duration) event {
	f := ec2.Fault{
		Action: pick(g.r, ec2.AnyFault, ec2.IMDSFault, "DescribeNetworkInterfaces", "CreateNetworkInterface", "AttachNetworkInterface",
			"ModifyNetworkInterfaceAttribute", "AssignPrivateIpAddresses", "UnassignPrivateIpAddresses", "DetachNetworkInterface", "DeleteNetworkInterface"),
		Count: 1 + g.r.IntN(8),
	}
	switch g.r.IntN(4) {
	case 0:
		f.Lost = true
	case 1:
		f.Latency = time.Duration(g.r.IntN(15000)) * time.Millisecond
	case 2:
		f.ReplyLatency = time.Duration(g.r.IntN(15000)) * time.Millisecond
	default:
		f.Code = pick(g.r, "RequestLimitExceeded", "InternalError", "Unavailable", "UnauthorizedOperation", "InsufficientFreeAddressesInSubnet")
	}
	return event{at: at, what: fault, fault: f}
}

// conditions hold until the next ones.
func (g *generator) conditions(at time.Duration) event {
	c := topology.Conditions{
		IMDSLag: upTo(g.r, 60*time.Second), LinkDelay: upTo(g.r, 5*time.Second), DetachDelay: upTo(g.r, 8*time.Second),
	}
	if g.r.IntN(3) == 0 {
		c.NewENIDelay, c.ChangeDelay = upTo(g.r, 4*time.Second), upTo(g.r, 10*time.Second)
	}
	if g.r.IntN(2) == 0 {
		c.Throttling = &topology.Throttling{Actions: map[string]topology.Bucket{"*": {Burst: 1 + g.r.IntN(3), PerSecond: 0.1 + g.r.Float64()}}}
	}
	return event{at: at, what: conditions, conditions: c}
}

func upTo(r *rand.Rand, most time.Duration) topology.Duration {
	if r.IntN(2) == 0 {
		return 0
	}
	return topology.Duration(r.Int64N(int64(most)))
}
